package front

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/proxy/internal/access"
)

// queryAction carries one action of IAM out and returns what writes its result; nil when there is none.
type queryAction func(e *access.Edit, p url.Values) (func(*queryXML), error)

// queryActions is what of IAM's query API is built.
var queryActions = map[string]queryAction{
	"CreateUser": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		u, err := e.CreateUser(userName(p), p.Get("Path"))
		if err == nil {
			u.Tags, err = tagNew(e, access.Tagged{User: u.Name}, p)
		}
		return func(w *queryXML) { w.in("User", func() { w.user(u); w.tags(u.Tags) }) }, err
	},
	"GetUser": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		if p.Get("UserName") == "" {
			return func(w *queryXML) {
				w.in("User", func() { w.text("UserId", cluster.Account); w.text("Arn", cluster.RootARN) })
			}, nil
		}
		u, err := e.User(userName(p))
		return func(w *queryXML) { w.in("User", func() { w.user(u); w.tags(u.Tags) }) }, err
	},
	"ListUsers": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		list := slices.DeleteFunc(slices.Clone(e.Identities().Users), func(u cluster.User) bool { return !strings.HasPrefix(u.Path, p.Get("PathPrefix")) })
		return func(w *queryXML) { members(w, "Users", list, w.user) }, nil
	},
	"UpdateUser": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		return nil, e.UpdateUser(userName(p), cluster.UserName(p.Get("NewUserName")), p.Get("NewPath"))
	},
	"DeleteUser": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		return nil, e.DeleteUser(userName(p), false)
	},

	"CreateAccessKey": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		k, err := e.CreateKey(userName(p), "", "")
		return func(w *queryXML) {
			w.in("AccessKey", func() { w.key(k); w.text("SecretAccessKey", k.Secret) })
		}, err
	},
	"ListAccessKeys": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		u, err := e.User(userName(p))
		return func(w *queryXML) { members(w, "AccessKeyMetadata", e.KeysOf(u.Name), w.key) }, err
	},
	"UpdateAccessKey": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		id, err := keyOf(e, p)
		if err != nil {
			return nil, err
		}
		status := p.Get("Status")
		if status != "Active" && status != "Inactive" {
			return nil, invalidParameter("status", status, "Member must satisfy enum value set: [Active, Inactive]")
		}
		inactive := status == "Inactive"
		return nil, e.UpdateKey(id, &inactive, nil)
	},
	"DeleteAccessKey": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		id, err := keyOf(e, p)
		if err != nil {
			return nil, err
		}
		return nil, e.DeleteKey(id)
	},

	"PutUserPolicy": putInline, "GetUserPolicy": getInline, "ListUserPolicies": listInline, "DeleteUserPolicy": deleteInline,
	"PutGroupPolicy": putInline, "GetGroupPolicy": getInline, "ListGroupPolicies": listInline, "DeleteGroupPolicy": deleteInline,
	"AttachUserPolicy": attach, "DetachUserPolicy": detach, "ListAttachedUserPolicies": listAttached,
	"AttachGroupPolicy": attach, "DetachGroupPolicy": detach, "ListAttachedGroupPolicies": listAttached,

	"CreateGroup": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		g, err := e.CreateGroup(groupName(p), p.Get("Path"))
		return func(w *queryXML) { w.in("Group", func() { w.group(g) }) }, err
	},
	"GetGroup": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		g, err := e.Group(groupName(p))
		return func(w *queryXML) {
			w.in("Group", func() { w.group(g) })
			members(w, "Users", e.Members(g.Name), w.user)
		}, err
	},
	"ListGroups": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		list := slices.DeleteFunc(slices.Clone(e.Identities().Groups), func(g cluster.Group) bool { return !strings.HasPrefix(g.Path, p.Get("PathPrefix")) })
		return func(w *queryXML) { members(w, "Groups", list, w.group) }, nil
	},
	"UpdateGroup": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		return nil, e.UpdateGroup(groupName(p), cluster.GroupName(p.Get("NewGroupName")), p.Get("NewPath"))
	},
	"ListGroupsForUser": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		u, err := e.User(userName(p))
		return func(w *queryXML) {
			members(w, "Groups", u.Groups, func(name cluster.GroupName) {
				g, _ := e.Group(name)
				w.group(g)
			})
		}, err
	},
	"DeleteGroup": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		return nil, e.DeleteGroup(groupName(p), false)
	},
	"AddUserToGroup": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		return nil, e.Join(userName(p), groupName(p))
	},
	"RemoveUserFromGroup": func(e *access.Edit, p url.Values) (func(*queryXML), error) {
		return nil, e.Leave(userName(p), groupName(p))
	},
}

func userName(p url.Values) cluster.UserName   { return cluster.UserName(p.Get("UserName")) }
func groupName(p url.Values) cluster.GroupName { return cluster.GroupName(p.Get("GroupName")) }

// keyOf returns the key that a request names, which must be one of the user that it names.
func keyOf(e *access.Edit, p url.Values) (cluster.AccessKeyID, error) {
	k, err := e.Key(cluster.AccessKeyID(p.Get("AccessKeyId")))
	if err == nil && p.Get("UserName") != "" && !strings.EqualFold(string(k.User), p.Get("UserName")) {
		_, err = e.Key("") // of another user: it cannot be found
	}
	return k.ID, err
}

// whose returns whose policies a request is about.
func whose(p url.Values) access.Whose {
	return access.Whose{User: userName(p), Group: groupName(p), Role: roleName(p)}
}

func putInline(e *access.Edit, p url.Values) (func(*queryXML), error) {
	return nil, e.PutInline(whose(p), p.Get("PolicyName"), p.Get("PolicyDocument"))
}

func getInline(e *access.Edit, p url.Values) (func(*queryXML), error) {
	document, err := e.Inline(whose(p), p.Get("PolicyName"))
	return func(w *queryXML) {
		for _, name := range []string{"UserName", "GroupName", "RoleName"} {
			if p.Get(name) != "" {
				w.text(name, p.Get(name))
			}
		}
		w.text("PolicyName", p.Get("PolicyName"))
		w.document("PolicyDocument", document)
	}, err
}

func listInline(e *access.Edit, p url.Values) (func(*queryXML), error) {
	r, err := e.Rights(whose(p))
	return func(w *queryXML) {
		members(w, "PolicyNames", slices.Sorted(maps.Keys(r.Inline)), func(name string) { w.b.WriteString(name) }) // its letters need no escape
	}, err
}

func deleteInline(e *access.Edit, p url.Values) (func(*queryXML), error) {
	return nil, e.DeleteInline(whose(p), p.Get("PolicyName"))
}

func attach(e *access.Edit, p url.Values) (func(*queryXML), error) {
	return nil, e.Attach(whose(p), p.Get("PolicyArn"))
}

func detach(e *access.Edit, p url.Values) (func(*queryXML), error) {
	return nil, e.Detach(whose(p), p.Get("PolicyArn"))
}

func listAttached(e *access.Edit, p url.Values) (func(*queryXML), error) {
	r, err := e.Rights(whose(p))
	return func(w *queryXML) {
		members(w, "AttachedPolicies", r.Attached, func(arn string) {
			w.text("PolicyName", arn[strings.LastIndexByte(arn, '/')+1:])
			w.text("PolicyArn", arn)
		})
	}, err
}

func (w *queryXML) user(u cluster.User) {
	w.text("Path", u.Path)
	w.text("UserName", string(u.Name))
	w.text("UserId", u.ID)
	w.text("Arn", u.ARN())
	w.time("CreateDate", u.Created)
}

func (w *queryXML) group(g cluster.Group) {
	w.text("Path", g.Path)
	w.text("GroupName", string(g.Name))
	w.text("GroupId", g.ID)
	w.text("Arn", g.ARN())
	w.time("CreateDate", g.Created)
}

func (w *queryXML) key(k access.Key) {
	w.text("UserName", string(k.User))
	w.text("AccessKeyId", string(k.ID))
	w.text("Status", map[bool]string{true: "Inactive", false: "Active"}[k.Inactive])
	w.time("CreateDate", k.Created)
}
