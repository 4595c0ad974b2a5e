package front

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/proxy/internal/access"
)

// roleActions is what of IAM's query API is about roles, and about the issuers of web identities that they trust.
var roleActions = map[string]queryAction{
	"CreateRole": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		seconds, err := number(p, "MaxSessionDuration")
		if err != nil {
			return nil, err
		}
		r, err := e.CreateRole(roleName(p), p.Get("Path"), p.Get("Description"), p.Get("AssumeRolePolicyDocument"), seconds)
		if err == nil {
			r.Tags, err = tagNew(e, access.Tagged{Role: r.Name}, p)
		}
		return func(w *queryXML) { w.in("Role", func() { w.role(e, r); w.tags(r.Tags) }) }, err
	},
	"GetRole": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		r, err := e.Role(roleName(p))
		return func(w *queryXML) { w.in("Role", func() { w.role(e, r); w.tags(r.Tags) }) }, err
	},
	"ListRoles": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		var list []cluster.Role
		for _, r := range e.Identities().Roles {
			if strings.HasPrefix(r.Path, p.Get("PathPrefix")) {
				list = append(list, r)
			}
		}
		return func(w *queryXML) { members(w, "Roles", list, func(r cluster.Role) { w.role(e, r) }) }, nil
	},
	"UpdateRole": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		seconds, err := number(p, "MaxSessionDuration")
		if err != nil {
			return nil, err
		}
		var description *string
		if p.Has("Description") {
			text := p.Get("Description")
			description = &text
		}
		return func(*queryXML) {}, e.UpdateRole(roleName(p), description, seconds)
	},
	"UpdateRoleDescription": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		text := p.Get("Description")
		if err := e.UpdateRole(roleName(p), &text, 0); err != nil {
			return nil, err
		}
		r, err := e.Role(roleName(p))
		return func(w *queryXML) { w.in("Role", func() { w.role(e, r) }) }, err
	},
	"UpdateAssumeRolePolicy": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		return nil, e.SetTrust(roleName(p), p.Get("PolicyDocument"))
	},
	"DeleteRole": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		return nil, e.DeleteRole(roleName(p), false)
	},
	"PutRolePolicy": putInline, "GetRolePolicy": getInline, "ListRolePolicies": listInline, "DeleteRolePolicy": deleteInline,
	"AttachRolePolicy": attach, "DetachRolePolicy": detach, "ListAttachedRolePolicies": listAttached,

	"CreateOpenIDConnectProvider": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		made, err := e.CreateProvider(p.Get("Url"), listOf(p, "ClientIDList"), listOf(p, "ThumbprintList"))
		return func(w *queryXML) { w.text("OpenIDConnectProviderArn", made.ARN()) }, err
	},
	"GetOpenIDConnectProvider": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		found, err := e.Provider(providerARN(p))
		return func(w *queryXML) {
			w.text("Url", found.Host())
			w.time("CreateDate", found.Created)
			w.list("ClientIDList", found.Clients)
			w.list("ThumbprintList", found.Thumbprints)
		}, err
	},
	"ListOpenIDConnectProviders": func(e *access.Edit, _ url.Values) (func(*queryXML), error) {
		return func(w *queryXML) {
			w.in("OpenIDConnectProviderList", func() {
				for _, p := range e.Identities().Providers {
					w.in("member", func() { w.text("Arn", p.ARN()) })
				}
			})
		}, nil
	},
	"DeleteOpenIDConnectProvider": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		return nil, e.DeleteProvider(providerARN(p))
	},
	"AddClientIDToOpenIDConnectProvider": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		return nil, e.AddClient(providerARN(p), p.Get("ClientID"))
	},
	"RemoveClientIDFromOpenIDConnectProvider": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		return nil, e.RemoveClient(providerARN(p), p.Get("ClientID"))
	},
	"UpdateOpenIDConnectProviderThumbprint": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		return nil, e.SetThumbprints(providerARN(p), listOf(p, "ThumbprintList"))
	},
}

func roleName(p url.Values) cluster.RoleName { return cluster.RoleName(p.Get("RoleName")) }
func providerARN(p url.Values) string        { return p.Get("OpenIDConnectProviderArn") }

// number reads a parameter that may be missing.
func number(p url.Values, name string) (int, error) {
	text := p.Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n == 0 {
		return 0, access.Refuse(access.ValidationError, name+" is not a number: "+text)
	}
	return n, nil
}

// listOf reads a parameter that is a list.
func listOf(p url.Values, name string) []string {
	var list []string
	for i := 1; p.Has(name + ".member." + strconv.Itoa(i)); i++ {
		list = append(list, p.Get(name+".member."+strconv.Itoa(i)))
	}
	return list
}

// list writes a list of texts.
func (w *queryXML) list(name string, texts []string) {
	w.in(name, func() {
		for _, t := range texts {
			w.text("member", t)
		}
	})
}

func (w *queryXML) role(e *access.Edit, r cluster.Role) {
	w.text("Path", r.Path)
	w.text("RoleName", string(r.Name))
	w.text("RoleId", r.ID)
	w.text("Arn", r.ARN())
	w.time("CreateDate", r.Created)
	w.document("AssumeRolePolicyDocument", e.Trust(&r))
	if r.Description != "" {
		w.text("Description", r.Description)
	}
	w.text("MaxSessionDuration", strconv.Itoa(r.MaxSeconds))
}
