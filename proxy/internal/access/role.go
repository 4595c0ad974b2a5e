package access

import (
	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3/policy"
)

// Bounds of how long a session may last, in seconds.
const (
	MinSession     = 900
	DefaultSession = 3600
	MaxSession     = 43200
)

// Role returns a role.
func (e *Edit) Role(name cluster.RoleName) (cluster.Role, error) {
	r, ok := e.now.Role(name)
	if !ok {
		return r, fail(NoSuchEntity, "The role with name "+string(name)+" cannot be found.")
	}
	return r, nil
}

// CreateRole makes a role. trust is the document that says who may become it; seconds may be 0.
func (e *Edit) CreateRole(name cluster.RoleName, path, description, trust string, seconds int) (cluster.Role, error) {
	if err := checkName("roleName", string(name), 64); err != nil {
		return cluster.Role{}, err
	}
	path, err := checkPath(path)
	if err != nil {
		return cluster.Role{}, err
	}
	if trust, err = e.checkTrust(trust); err != nil {
		return cluster.Role{}, err
	}
	if seconds == 0 {
		seconds = DefaultSession
	}
	if seconds < DefaultSession || seconds > MaxSession {
		return cluster.Role{}, fail(ValidationError, "MaxSessionDuration must be between 3600 and 43200 seconds")
	}
	if _, ok := e.now.Role(name); ok {
		return cluster.Role{}, fail(EntityAlreadyExists, "Role with name "+string(name)+" already exists.")
	}
	r := cluster.Role{Name: name, Path: path, ID: newID("AROA"), Description: description, Created: e.time, Trust: trust, MaxSeconds: seconds}
	e.putRole(r)
	return r, nil
}

// checkTrust returns a trust policy as it is kept.
func (e *Edit) checkTrust(trust string) (string, error) {
	if err := checkDocument(trust, policy.Trust); err != nil {
		return "", err
	}
	stored, err := Stored(e.now, trust)
	if err != nil {
		return "", fail(MalformedPolicyDocument, err.Error())
	}
	return stored, nil
}

// Trust returns the trust policy of a role as it is told.
func (e *Edit) Trust(r *cluster.Role) string { return Shown(e.now, r.Trust) }

// SetTrust says who may become a role.
func (e *Edit) SetTrust(name cluster.RoleName, trust string) error {
	r, err := e.Role(name)
	if err != nil {
		return err
	}
	if r.Trust, err = e.checkTrust(trust); err != nil {
		return err
	}
	e.putRole(r)
	return nil
}

// DeleteRole removes a role; with all, also one that has policies. Its sessions end.
func (e *Edit) DeleteRole(name cluster.RoleName, all bool) error {
	r, err := e.Role(name)
	if err != nil {
		return err
	}
	if !all && len(r.Attached)+len(r.Inline) > 0 {
		return fail(DeleteConflict, "Cannot delete entity, must detach all policies first.")
	}
	e.do(cluster.IdentityChange{Roles: []cluster.RoleName{r.Name}})
	return nil
}

// UpdateRole changes what a role says of itself; nil and 0 leave it.
func (e *Edit) UpdateRole(name cluster.RoleName, description *string, seconds int) error {
	r, err := e.Role(name)
	if err != nil {
		return err
	}
	if description != nil {
		r.Description = *description
	}
	if seconds != 0 {
		if seconds < DefaultSession || seconds > MaxSession {
			return fail(ValidationError, "MaxSessionDuration must be between 3600 and 43200 seconds")
		}
		r.MaxSeconds = seconds
	}
	e.putRole(r)
	return nil
}
