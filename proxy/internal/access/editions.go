package access

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3/policy"
)

// MaxEditions is how many versions a managed policy can have (AWS: "IAM and AWS STS quotas").
const MaxEditions = 5

// VersionID returns the number of a version as clients know it.
func VersionID(version int) string { return "v" + strconv.Itoa(version) }

// Editions returns the versions of a managed policy, the newest first. The one that counts is p.Version.
func Editions(p *cluster.ManagedPolicy) []cluster.Edition {
	now := cluster.Edition{Version: p.Version, Document: p.Document, Created: p.Dated}
	if now.Created.IsZero() {
		now.Created = p.Updated
	}
	list := append(slices.Clone(p.Versions), now)
	slices.SortFunc(list, func(a, b cluster.Edition) int { return cmp.Compare(b.Version, a.Version) })
	return list
}

// Edition returns one version of a managed policy.
func (e *Edit) Edition(name, id string) (cluster.ManagedPolicy, cluster.Edition, error) {
	p, err := e.Policy(name)
	if err != nil {
		return p, cluster.Edition{}, err
	}
	for _, v := range Editions(&p) {
		if VersionID(v.Version) == id {
			return p, v, nil
		}
	}
	return p, cluster.Edition{}, fail(NoSuchEntity, "Policy "+name+" version "+id+" does not exist or is not attachable.")
}

// own returns a managed policy that can be changed.
func (e *Edit) own(name string) (cluster.ManagedPolicy, error) {
	p, err := e.Policy(name)
	if err == nil && strings.HasPrefix(e.ManagedARN(name), cannedPath) {
		err = fail(UnmodifiableEntity, "The policy "+string(p.Name)+" is part of every cluster and cannot be changed.")
	}
	return p, err
}

// AddEdition gives a managed policy another version, which counts from now on if it is to.
func (e *Edit) AddEdition(name, document string, counts bool) (cluster.ManagedPolicy, cluster.Edition, error) {
	p, err := e.own(name)
	if err != nil {
		return p, cluster.Edition{}, err
	}
	if err := checkDocument(document, policy.Identity); err != nil {
		return p, cluster.Edition{}, err
	}
	list := Editions(&p)
	if len(list) >= MaxEditions {
		return p, cluster.Edition{}, fail(LimitExceeded, "A managed policy can have up to "+strconv.Itoa(MaxEditions)+" versions. Before you create a new version, you must delete an existing version.")
	}
	p.Last = max(p.Last, p.Version) + 1
	made := cluster.Edition{Version: p.Last, Document: document, Created: e.time}
	e.putEditions(&p, append(list, made), map[bool]int{true: made.Version, false: p.Version}[counts])
	return p, made, nil
}

// SetEdition makes a version of a managed policy the one that counts.
func (e *Edit) SetEdition(name, id string) error {
	p, err := e.own(name)
	if err != nil {
		return err
	}
	_, v, err := e.Edition(name, id)
	if err != nil {
		return err
	}
	e.putEditions(&p, Editions(&p), v.Version)
	return nil
}

// DeleteEdition removes a version that does not count.
func (e *Edit) DeleteEdition(name, id string) error {
	p, err := e.own(name)
	if err != nil {
		return err
	}
	_, v, err := e.Edition(name, id)
	if err != nil {
		return err
	}
	if v.Version == p.Version {
		return fail(DeleteConflict, "Cannot delete the default version of a policy.")
	}
	p.Last = max(p.Last, p.Version)
	list := slices.DeleteFunc(Editions(&p), func(o cluster.Edition) bool { return o.Version == v.Version })
	e.putEditions(&p, list, p.Version)
	return nil
}

// putEditions stores a policy with these versions, of which one counts.
func (e *Edit) putEditions(p *cluster.ManagedPolicy, list []cluster.Edition, counts int) {
	slices.SortFunc(list, func(a, b cluster.Edition) int { return cmp.Compare(a.Version, b.Version) })
	p.Versions, p.Updated = nil, e.time
	for _, v := range list {
		if v.Version == counts {
			p.Version, p.Document, p.Dated = v.Version, v.Document, v.Created
		} else {
			p.Versions = append(p.Versions, v)
		}
	}
	e.putPolicy(*p)
}
