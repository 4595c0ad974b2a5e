package front

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/proxy/internal/access"
)

// policyActions is what of IAM's query API is about managed policies, and about the account as a whole.
var policyActions = map[string]queryAction{
	"CreatePolicy": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		m, err := e.PutPolicy(cluster.PolicyName(p.Get("PolicyName")), p.Get("Path"), p.Get("Description"), p.Get("PolicyDocument"), false)
		if err == nil {
			m.Tags, err = tagNew(e, access.Tagged{Policy: m.ARN()}, p)
		}
		return func(w *queryXML) { w.in("Policy", func() { w.policy(e, m); w.tags(m.Tags) }) }, err
	},
	"GetPolicy": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		m, err := e.Policy(p.Get("PolicyArn"))
		return func(w *queryXML) {
			w.in("Policy", func() {
				w.policy(e, m)
				if m.Description != "" {
					w.text("Description", m.Description)
				}
				w.tags(m.Tags)
			})
		}, err
	},
	"ListPolicies": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		list := slices.Clone(e.Identities().Policies)
		if p.Get("Scope") == "AWS" {
			list = nil
		}
		if p.Get("Scope") != "Local" {
			for _, c := range access.CannedPolicies() {
				m, err := e.Policy(c.ARN())
				if err != nil {
					return nil, err
				}
				list = append(list, m)
			}
		}
		list = slices.DeleteFunc(list, func(m cluster.ManagedPolicy) bool {
			users, groups, roles := e.Having(e.PolicyARN(m))
			return !strings.HasPrefix(m.Path, p.Get("PathPrefix")) || p.Get("OnlyAttached") == "true" && len(users)+len(groups)+len(roles) == 0
		})
		return func(w *queryXML) { members(w, "Policies", list, func(m cluster.ManagedPolicy) { w.policy(e, m) }) }, nil
	},
	"DeletePolicy": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		return nil, e.DeletePolicy(p.Get("PolicyArn"), false)
	},
	"ListEntitiesForPolicy": listEntities,

	"CreatePolicyVersion": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		m, v, err := e.AddEdition(p.Get("PolicyArn"), p.Get("PolicyDocument"), p.Get("SetAsDefault") == "true")
		return func(w *queryXML) { w.in("PolicyVersion", func() { w.edition(&m, &v) }) }, err
	},
	"GetPolicyVersion": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		m, v, err := e.Edition(p.Get("PolicyArn"), p.Get("VersionId"))
		return func(w *queryXML) {
			w.in("PolicyVersion", func() {
				w.document("Document", v.Document)
				w.edition(&m, &v)
			})
		}, err
	},
	"ListPolicyVersions": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		m, err := e.Policy(p.Get("PolicyArn"))
		return func(w *queryXML) {
			members(w, "Versions", access.Editions(&m), func(v cluster.Edition) { w.edition(&m, &v) })
		}, err
	},
	"SetDefaultPolicyVersion": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		return nil, e.SetEdition(p.Get("PolicyArn"), p.Get("VersionId"))
	},
	"DeletePolicyVersion": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		return nil, e.DeleteEdition(p.Get("PolicyArn"), p.Get("VersionId"))
	},

	"ListAccountAliases": func(*access.Edit, url.Values) (func(*queryXML), error) {
		return func(w *queryXML) { members(w, "AccountAliases", nil, func(string) {}) }, nil
	},
	"GetAccountSummary": func(e *access.Edit, _ url.Values) (func(*queryXML), error) {
		i := e.Identities()
		editions := 0
		for n := range i.Policies {
			editions += 1 + len(i.Policies[n].Versions)
		}
		return func(w *queryXML) {
			w.in("SummaryMap", func() {
				w.entry("Users", len(i.Users))
				w.entry("Groups", len(i.Groups))
				w.entry("Roles", len(i.Roles))
				w.entry("Policies", len(i.Policies))
				w.entry("PolicyVersionsInUse", editions)
				w.entry("Providers", len(i.Providers))
				w.entry("VersionsPerPolicyQuota", access.MaxEditions)
				w.entry("AccountMFAEnabled", 0)
				w.entry("AccountAccessKeysPresent", 1)
			})
		}, nil
	},
}

// listEntities tells who has a managed policy.
func listEntities(e *access.Edit, p url.Values) (func(*queryXML), error) {
	if _, err := e.Policy(p.Get("PolicyArn")); err != nil {
		return nil, err
	}
	filter := p.Get("EntityFilter")
	if !slices.Contains([]string{"", "User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"}, filter) {
		return nil, invalidParameter("entityFilter", filter, "Member must satisfy enum value set: [User, Role, Group, LocalManagedPolicy, AWSManagedPolicy]")
	}
	users, groups, roles := e.Having(e.ManagedARN(p.Get("PolicyArn")))
	shown := func(kind, path string) bool {
		return (filter == "" || filter == kind) && strings.HasPrefix(path, p.Get("PathPrefix"))
	}
	users = slices.DeleteFunc(users, func(u cluster.User) bool { return !shown("User", u.Path) })
	groups = slices.DeleteFunc(groups, func(g cluster.Group) bool { return !shown("Group", g.Path) })
	roles = slices.DeleteFunc(roles, func(r cluster.Role) bool { return !shown("Role", r.Path) })
	if p.Get("PolicyUsageFilter") == "PermissionsBoundary" {
		users, groups, roles = nil, nil, nil
	}
	return func(w *queryXML) {
		unended(w, "PolicyGroups", groups, func(g cluster.Group) { w.text("GroupName", string(g.Name)); w.text("GroupId", g.ID) })
		unended(w, "PolicyUsers", users, func(u cluster.User) { w.text("UserName", string(u.Name)); w.text("UserId", u.ID) })
		unended(w, "PolicyRoles", roles, func(r cluster.Role) { w.text("RoleName", string(r.Name)); w.text("RoleId", r.ID) })
		w.text("IsTruncated", "false")
	}, nil
}

// edition writes a version of a managed policy, but for its document.
func (w *queryXML) edition(m *cluster.ManagedPolicy, v *cluster.Edition) {
	w.text("VersionId", access.VersionID(v.Version))
	w.text("IsDefaultVersion", strconv.FormatBool(v.Version == m.Version))
	w.time("CreateDate", v.Created)
}

// entry writes an entry of a map of numbers.
func (w *queryXML) entry(key string, n int) {
	w.in("entry", func() { w.text("key", key); w.text("value", strconv.Itoa(n)) })
}

func (w *queryXML) policy(e *access.Edit, m cluster.ManagedPolicy) {
	arn := e.PolicyARN(m)
	users, groups, roles := e.Having(arn)
	w.text("PolicyName", string(m.Name))
	w.text("PolicyId", m.ID)
	w.text("Arn", arn)
	w.text("Path", m.Path)
	w.text("DefaultVersionId", access.VersionID(m.Version))
	w.text("AttachmentCount", strconv.Itoa(len(users)+len(groups)+len(roles)))
	w.text("IsAttachable", "true")
	w.time("CreateDate", m.Created)
	w.time("UpdateDate", m.Updated)
}
