package access

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3"
)

// Limits of tags (AWS: "Rules for tagging in IAM and AWS STS").
const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

// Tagged says whose tags a change is about: one of them.
type Tagged struct {
	User   cluster.UserName
	Role   cluster.RoleName
	Policy string // name or ARN
}

// Tags returns the tags of a user, role or managed policy.
func (e *Edit) Tags(of Tagged) ([]cluster.Tag, error) {
	switch {
	case of.User != "":
		u, err := e.User(of.User)
		return u.Tags, err
	case of.Role != "":
		r, err := e.Role(of.Role)
		return r.Tags, err
	}
	p, err := e.Policy(of.Policy)
	return p.Tags, err
}

// Tag gives somebody tags; one of the same name is replaced.
func (e *Edit) Tag(of Tagged, tags []cluster.Tag) error {
	now, err := e.Tags(of)
	if err != nil {
		return err
	}
	if now, err = tagged(now, tags); err != nil {
		return err
	}
	return e.setTags(of, now)
}

// Untag takes tags away; those that there are not do not matter.
func (e *Edit) Untag(of Tagged, keys []string) error {
	now, err := e.Tags(of)
	if err != nil {
		return err
	}
	now = slices.DeleteFunc(slices.Clone(now), func(t cluster.Tag) bool {
		return slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, t.Key) })
	})
	return e.setTags(of, now)
}

func (e *Edit) setTags(of Tagged, tags []cluster.Tag) error {
	switch {
	case of.User != "":
		u, err := e.User(of.User)
		if err != nil {
			return err
		}
		u.Tags = tags
		e.putUser(u)
	case of.Role != "":
		r, err := e.Role(of.Role)
		if err != nil {
			return err
		}
		r.Tags = tags
		e.putRole(r)
	default:
		p, err := e.own(of.Policy)
		if err != nil {
			return err
		}
		p.Tags = tags
		e.putPolicy(p)
	}
	return nil
}

// tagged returns tags with others put to them, by IAM's rules.
func tagged(now, put []cluster.Tag) ([]cluster.Tag, error) {
	now = slices.Clone(now)
	for i, t := range put {
		same := func(o cluster.Tag) bool { return strings.EqualFold(o.Key, t.Key) }
		switch {
		case t.Key == "" || !s3.IsTagText(t.Key, maxTagKey):
			return nil, fail(ValidationError, "The tag key "+strconv.Quote(t.Key)+" is invalid: 1 to "+strconv.Itoa(maxTagKey)+" letters, digits, blanks and _.:/=+-@")
		case !s3.IsTagText(t.Value, maxTagValue):
			return nil, fail(ValidationError, "The tag value "+strconv.Quote(t.Value)+" is invalid: up to "+strconv.Itoa(maxTagValue)+" letters, digits, blanks and _.:/=+-@")
		case len(t.Key) >= 4 && strings.EqualFold(t.Key[:4], "aws:"):
			return nil, fail(InvalidInput, "Tag keys that begin with aws: are reserved.")
		case slices.ContainsFunc(put[:i], same):
			return nil, fail(InvalidInput, "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		if at := slices.IndexFunc(now, same); at >= 0 {
			now[at] = t
		} else {
			now = append(now, t)
		}
	}
	if len(now) > maxTags {
		return nil, fail(LimitExceeded, "Cannot exceed quota for TagsPerEntity: "+strconv.Itoa(maxTags))
	}
	return now, nil
}

// tagKeys returns tags as conditions look for them: by the names of their keys in lower case.
func tagKeys(tags []cluster.Tag) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	m := make(map[string]string, len(tags))
	for _, t := range tags {
		m[strings.ToLower(t.Key)] = t.Value
	}
	return m
}
