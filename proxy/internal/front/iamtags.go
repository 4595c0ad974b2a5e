package front

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/proxy/internal/access"
)

// tagActions is what of IAM's query API is about the tags of identities.
var tagActions = map[string]queryAction{
	"TagUser": tag, "UntagUser": untag, "ListUserTags": listTags,
	"TagRole": tag, "UntagRole": untag, "ListRoleTags": listTags,
	"TagPolicy": tag, "UntagPolicy": untag, "ListPolicyTags": listTags,
}

// taggers are the actions that are needed besides, to give tags to what is made.
var taggers = map[string]string{"CreateUser": "iam:TagUser", "CreateRole": "iam:TagRole", "CreatePolicy": "iam:TagPolicy"}

// tagOwner returns whose tags a request is about: it names nothing else.
func tagOwner(p url.Values) access.Tagged {
	return access.Tagged{User: userName(p), Role: roleName(p), Policy: p.Get("PolicyArn")}
}

func tag(e *access.Edit, p url.Values) (func(*queryXML), error) {
	return nil, e.Tag(tagOwner(p), tagsOf(p))
}

func untag(e *access.Edit, p url.Values) (func(*queryXML), error) {
	return nil, e.Untag(tagOwner(p), listOf(p, "TagKeys"))
}

func listTags(e *access.Edit, p url.Values) (func(*queryXML), error) {
	tags, err := e.Tags(tagOwner(p))
	return func(w *queryXML) { members(w, "Tags", tags, w.tag) }, err
}

// tagNew gives what was just made the tags that the request has for it.
func tagNew(e *access.Edit, of access.Tagged, p url.Values) ([]cluster.Tag, error) {
	tags := tagsOf(p)
	if len(tags) == 0 {
		return nil, nil
	}
	return tags, e.Tag(of, tags)
}

// tagsOf reads the tags of a request.
func tagsOf(p url.Values) []cluster.Tag {
	var tags []cluster.Tag
	for i := 1; p.Has("Tags.member." + strconv.Itoa(i) + ".Key"); i++ {
		member := "Tags.member." + strconv.Itoa(i)
		tags = append(tags, cluster.Tag{Key: p.Get(member + ".Key"), Value: p.Get(member + ".Value")})
	}
	return tags
}

// tagConditions are the condition keys that the tags of a request have.
func tagConditions(p url.Values) map[string][]string {
	values := make(map[string][]string)
	for _, t := range tagsOf(p) {
		values["aws:requesttag/"+strings.ToLower(t.Key)] = []string{t.Value}
		values["aws:tagkeys"] = append(values["aws:tagkeys"], t.Key)
	}
	values["aws:tagkeys"] = append(values["aws:tagkeys"], listOf(p, "TagKeys")...)
	return values
}

func (w *queryXML) tag(t cluster.Tag) {
	w.text("Key", t.Key)
	w.text("Value", t.Value)
}

// tags writes the tags of an identity, where it has any.
func (w *queryXML) tags(list []cluster.Tag) {
	if len(list) > 0 {
		unended(w, "Tags", list, w.tag)
	}
}
