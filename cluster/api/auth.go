package api

import "time"

// The actions of Auth, the kinds of identities they are about, and the values of "what" of its GET.
const (
	ActionAddIdentity    = "add-identity"
	ActionSetIdentity    = "set-identity"
	ActionRemoveIdentity = "rm-identity"

	IdentityUser     = "user"
	IdentityGroup    = "group"
	IdentityPolicy   = "policy"
	IdentityKey      = "key"
	IdentityRole     = "role"
	IdentityProvider = "provider" // an issuer of web identities; its name is its URL or ARN

	WhatIdentities = "identities" // of the kind and name in QueryKind and QueryName
	QueryKind      = "kind"
	QueryName      = "name"
)

// IdentityMsg is the value of the actions of Auth. What is missing stays as it is, or empty.
type IdentityMsg struct {
	Kind        string    `json:"kind"`
	Name        string    `json:"name"`                      // of a key: the access key; when one is added, it may be empty
	User        string    `json:"user,omitempty"`            // whose key is added
	AccessKey   string    `json:"access_key,omitempty"`      // of the key that a new user gets; made when it is empty
	SecretKey   string    `json:"secret_key,omitempty"`      // of a new key; made when it is empty
	Policies    *[]string `json:"policies,omitempty"`        // managed policies of a user, group or role, by name or ARN: these and no others
	Groups      *[]string `json:"groups,omitempty"`          // of a user: these and no others
	Users       *[]string `json:"users,omitempty"`           // of a group: these and no others
	Document    string    `json:"document,omitempty"`        // of a policy; of a role: who may become it
	Seconds     int       `json:"session_seconds,omitempty"` // that sessions of a role may last
	Clients     *[]string `json:"clients,omitempty"`         // of an issuer: these and no others
	Thumbprints *[]string `json:"thumbprints,omitempty"`     // of an issuer's certificates: these and no others
	Active      *bool     `json:"active,omitempty"`          // of a key
	Redirect    *string   `json:"redirect,omitempty"`        // of a key: auto, always, never, or "": no matter
}

// Identity is a user, group, policy, access key, role or issuer of web identities.
type Identity struct {
	Kind        string            `json:"kind"`
	Name        string            `json:"name"`
	ARN         string            `json:"arn,omitempty"`
	ID          string            `json:"id,omitempty"`
	Created     time.Time         `json:"created,omitzero"`
	Policies    []string          `json:"policies,omitempty"`        // ARNs of managed policies
	Inline      map[string]string `json:"inline,omitempty"`          // documents of its own
	Groups      []string          `json:"groups,omitempty"`          // of a user
	Users       []string          `json:"users,omitempty"`           // of a group
	Keys        []string          `json:"keys,omitempty"`            // of a user
	User        string            `json:"user,omitempty"`            // of a key
	SecretKey   string            `json:"secret_key,omitempty"`      // of a key that was just made
	Active      bool              `json:"active,omitempty"`          // of a key
	Redirect    string            `json:"redirect,omitempty"`        // of a key
	Document    string            `json:"document,omitempty"`        // of a policy; of a role: who may become it
	Help        string            `json:"help,omitempty"`            // of a policy or role
	Seconds     int               `json:"session_seconds,omitempty"` // that sessions of a role may last
	Clients     []string          `json:"clients,omitempty"`         // of an issuer
	Thumbprints []string          `json:"thumbprints,omitempty"`     // of an issuer
}
