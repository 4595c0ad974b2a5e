package access

import (
	"errors"

	"github.com/aisle-store/aisle/cluster"
)

// Code is what is wrong with a change of identities, by AWS's name.
type Code string

const (
	NoSuchEntity            Code = "NoSuchEntity"
	EntityAlreadyExists     Code = "EntityAlreadyExists"
	DeleteConflict          Code = "DeleteConflict"
	LimitExceeded           Code = "LimitExceeded"
	InvalidInput            Code = "InvalidInput"
	ValidationError         Code = "ValidationError"
	MalformedPolicyDocument Code = "MalformedPolicyDocument"
	UnmodifiableEntity      Code = "UnmodifiableEntity"
	PackedPolicyTooLarge    Code = "PackedPolicyTooLarge"
	InvalidIdentityToken    Code = "InvalidIdentityToken"
	ExpiredIdentityToken    Code = "ExpiredTokenException"
	IDPCommunicationError   Code = "IDPCommunicationError"
	InvalidAction           Code = "InvalidAction"
)

var codeKinds = map[Code]cluster.Kind{
	NoSuchEntity:            cluster.KindNotFound,
	EntityAlreadyExists:     cluster.KindConflict,
	DeleteConflict:          cluster.KindConflict,
	LimitExceeded:           cluster.KindConflict,
	InvalidInput:            cluster.KindInvalid,
	ValidationError:         cluster.KindInvalid,
	MalformedPolicyDocument: cluster.KindInvalid,
	UnmodifiableEntity:      cluster.KindInvalid,
	PackedPolicyTooLarge:    cluster.KindInvalid,
	InvalidIdentityToken:    cluster.KindInvalid,
	ExpiredIdentityToken:    cluster.KindInvalid,
	IDPCommunicationError:   cluster.KindInvalid,
	InvalidAction:           cluster.KindNotImplemented,
}

// Fault is a refusal of a change of identities. It travels as the cause of a *cluster.Error.
type Fault struct {
	Code    Code
	Message string
}

// Error returns the message.
func (f *Fault) Error() string { return f.Message }

func fail(code Code, message string) error {
	return cluster.E("access.Edit", "", codeKinds[code], &Fault{code, message})
}

// Refuse returns a refusal.
func Refuse(code Code, message string) error { return fail(code, message) }

// FaultOf returns the refusal in an error.
func FaultOf(err error) (*Fault, bool) {
	var f *Fault
	ok := errors.As(err, &f)
	return f, ok
}
