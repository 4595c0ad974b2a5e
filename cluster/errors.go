package cluster

import (
	"errors"
	"strings"
	"time"
)

// Kind says what sort of failure an Error is. Kinds cross the wire as their names; one table each maps them to S3 codes
// (s3) and to native status codes (cluster/api). New kinds go at the end.
type Kind uint8

const (
	KindOther              Kind = iota // an error nobody classified: a fault of the server
	KindInvalid                        // the request is wrong in itself
	KindUnauthenticated                // no valid key
	KindDenied                         // a valid key without the right
	KindBucketNotFound                 // the bucket does not exist, for certain
	KindObjectNotFound                 // the object does not exist, for certain
	KindUploadNotFound                 // the multipart upload does not exist, for certain
	KindNotFound                       // anything else that does not exist
	KindBucketExists                   // a bucket of that name exists
	KindBucketNotEmpty                 // the bucket still holds objects
	KindConflict                       // another operation is in the way; it may go through later
	KindPreconditionFailed             // a condition of the request is false (412)
	KindNotModified                    // a condition of a read is false (304)
	KindRange                          // the range lies outside of the object (416)
	KindChecksum                       // the bytes received do not have the checksum that the request states
	KindTooLarge                       // over a limit
	KindUnavailable                    // cannot be answered with certainty now; try again (503)
	KindNoSpace                        // the disk is full (507)
	KindCorrupt                        // stored bytes do not have their checksum
	KindNotImplemented                 // not supported, and refused (501)
	KindMethod                         // the method does not exist here (405)
	KindTimeout                        // the client did not send or take its bytes in time
	KindPart                           // a named part does not exist or has another ETag
	KindPartTooSmall                   // a part but the last is under 5 MiB
	KindPartOrder                      // parts are not in ascending order
	KindVersionNotFound                // the version does not exist, for certain
	KindLocked                         // an object lock keeps the version as it is
	kindEnd
)

var kindNames = [...]string{
	KindOther:              "other",
	KindInvalid:            "invalid",
	KindUnauthenticated:    "unauthenticated",
	KindDenied:             "denied",
	KindBucketNotFound:     "bucket-not-found",
	KindObjectNotFound:     "object-not-found",
	KindUploadNotFound:     "upload-not-found",
	KindNotFound:           "not-found",
	KindBucketExists:       "bucket-exists",
	KindBucketNotEmpty:     "bucket-not-empty",
	KindConflict:           "conflict",
	KindPreconditionFailed: "precondition-failed",
	KindNotModified:        "not-modified",
	KindRange:              "range",
	KindChecksum:           "checksum",
	KindTooLarge:           "too-large",
	KindUnavailable:        "unavailable",
	KindNoSpace:            "no-space",
	KindCorrupt:            "corrupt",
	KindNotImplemented:     "not-implemented",
	KindMethod:             "method",
	KindTimeout:            "timeout",
	KindPart:               "part",
	KindPartTooSmall:       "part-too-small",
	KindPartOrder:          "part-order",
	KindVersionNotFound:    "version-not-found",
	KindLocked:             "locked",
}

// String returns the name of the kind, which is also its form on the wire.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return kindNames[KindOther]
}

// ParseKind reads what Kind.String wrote; a name of a later version is KindOther.
func ParseKind(s string) Kind {
	for k, name := range kindNames {
		if name == s {
			return Kind(k)
		}
	}
	return KindOther
}

// Kinds returns every kind, for tests that range over the tables.
func Kinds() []Kind {
	all := make([]Kind, kindEnd)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// Error is an error with the operation that failed, what it was about, and its kind. A nested Error adds its operation
// only; kind and subject are taken from the innermost one that has them.
type Error struct {
	Op         string        // the function, as "target/store.Put"
	Subject    string        // what it was about, as "ais://bucket/key"
	Kind       Kind          // what sort of failure
	RetryAfter time.Duration // when to try again, for KindUnavailable; zero means "soon"
	Err        error         // the cause; may be nil
}

// E builds an *Error. When err is an *Error and kind is KindOther, the kind, subject and delay of err are kept.
func E(op, subject string, kind Kind, err error) *Error {
	e := &Error{Op: op, Subject: subject, Kind: kind, Err: err}
	var inner *Error
	if errors.As(err, &inner) {
		if e.Kind == KindOther {
			e.Kind = inner.Kind
		}
		if e.Subject == "" {
			e.Subject = inner.Subject
		}
		if e.RetryAfter == 0 {
			e.RetryAfter = inner.RetryAfter
		}
	}
	return e
}

// Fail builds an *Error from a message, without a cause.
func Fail(op, subject string, kind Kind, message string) *Error {
	return &Error{Op: op, Subject: subject, Kind: kind, Err: errors.New(message)}
}

// Error returns "op: subject: cause", leaving out what is empty or said by a nested Error.
func (e *Error) Error() string {
	var b strings.Builder
	add := func(s string) {
		if s == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(s)
	}
	add(e.Op)
	var inner *Error
	if !errors.As(e.Err, &inner) || inner.Subject != e.Subject {
		add(e.Subject)
	}
	if e.Err != nil {
		add(e.Err.Error())
	} else {
		add(e.Kind.String())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// RetryAfter returns the whole seconds after which whoever was refused for now should try again, at least 1.
func RetryAfter(err error) int {
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > time.Second {
		return int((e.RetryAfter + time.Second - 1) / time.Second)
	}
	return 1
}

// KindOf returns the kind of the outermost Error in err's chain, or KindOther.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return KindOther
}

// Is reports whether err is of the given kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }
