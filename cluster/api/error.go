package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// Error is the body of every reply that is not a success. AIStore's clients read the status and look for
// provider://bucket, or provider://bucket/object, in the message.
type Error struct {
	Code       string `json:"tcode"`
	Message    string `json:"message"`
	Kind       string `json:"kind"` // cluster.Kind: what Aisle's own clients go by
	Method     string `json:"method"`
	URLPath    string `json:"url_path"`
	RemoteAddr string `json:"remote_addr"`
	Caller     string `json:"caller"`
	Node       string `json:"node"`
	RequestID  string `json:"request_id,omitempty"`
	Status     int    `json:"status"`
}

// outcome is how a kind of error looks on the wire.
type outcome struct {
	status int
	code   string // AIStore's name of the error type
	text   string // what follows the subject in the message; empty: the error's own text
}

var outcomes = map[cluster.Kind]outcome{
	cluster.KindOther:              {http.StatusInternalServerError, "ErrInternal", "internal error"},
	cluster.KindInvalid:            {http.StatusBadRequest, "ErrInvalid", ""},
	cluster.KindUnauthenticated:    {http.StatusUnauthorized, "ErrUnauthorized", ""},
	cluster.KindDenied:             {http.StatusForbidden, "ErrForbidden", "permission denied"},
	cluster.KindBucketNotFound:     {http.StatusNotFound, "ErrBckNotFound", "does not exist"},
	cluster.KindObjectNotFound:     {http.StatusNotFound, "ErrObjNotFound", "does not exist"},
	cluster.KindUploadNotFound:     {http.StatusNotFound, "ErrUploadNotFound", "no such upload"},
	cluster.KindVersionNotFound:    {http.StatusNotFound, "ErrVersionNotFound", "no such version"},
	cluster.KindLocked:             {http.StatusForbidden, "ErrLocked", "an object lock keeps the version"},
	cluster.KindNotFound:           {http.StatusNotFound, "ErrNotFound", ""},
	cluster.KindBucketExists:       {http.StatusConflict, "ErrBucketAlreadyExists", "already exists"},
	cluster.KindBucketNotEmpty:     {http.StatusConflict, "ErrBucketNotEmpty", "is not empty"},
	cluster.KindConflict:           {http.StatusConflict, "ErrLimitedCoexistence", ""},
	cluster.KindPreconditionFailed: {http.StatusPreconditionFailed, "ErrPreconditionFailed", "a condition of the request does not hold"},
	cluster.KindNotModified:        {http.StatusNotModified, "ErrNotModified", "not modified"},
	cluster.KindRange:              {http.StatusRequestedRangeNotSatisfiable, "ErrRangeNotSatisfiable", "the range lies outside of the object"},
	cluster.KindChecksum:           {http.StatusBadRequest, "ErrBadCksum", ""},
	cluster.KindTooLarge:           {http.StatusRequestEntityTooLarge, "ErrTooLarge", ""},
	cluster.KindUnavailable:        {http.StatusServiceUnavailable, "ErrServiceUnavailable", "cannot be answered with certainty now; try again"},
	cluster.KindNoSpace:            {http.StatusInsufficientStorage, "ErrCapacityExceeded", "no space left on the disk"},
	cluster.KindCorrupt:            {http.StatusInternalServerError, "ErrCorrupt", "stored data do not have their checksum"},
	cluster.KindNotImplemented:     {http.StatusNotImplemented, "ErrNotImpl", ""},
	cluster.KindMethod:             {http.StatusMethodNotAllowed, "ErrMethodNotAllowed", "the method is not allowed here"},
	cluster.KindTimeout:            {http.StatusRequestTimeout, "ErrTimeout", "the request's bytes did not arrive in time"},
	cluster.KindPart:               {http.StatusBadRequest, "ErrInvalidPart", ""},
	cluster.KindPartTooSmall:       {http.StatusBadRequest, "ErrPartTooSmall", ""},
	cluster.KindPartOrder:          {http.StatusBadRequest, "ErrPartOrder", ""},
}

// Status returns the HTTP status for a kind of error.
func Status(k cluster.Kind) int {
	if o, ok := outcomes[k]; ok {
		return o.status
	}
	return http.StatusInternalServerError
}

// NewError returns the body for err. Method, path, addresses, node and request id are the caller's to fill in. The
// message begins with the subject (ais://bucket/object); of internal errors clients see no detail: the log has it.
func NewError(err error) Error {
	kind := cluster.KindOf(err)
	o, ok := outcomes[kind]
	if !ok {
		o = outcomes[cluster.KindOther]
	}
	subject, separator, message := subjectOf(err), " ", o.text
	if message == "" {
		separator, message = ": ", cause(err)
	}
	if subject != "" && !strings.HasPrefix(message, subject) {
		message = subject + separator + message
	}
	return Error{Code: o.code, Message: message, Kind: kind.String(), Status: o.status}
}

func subjectOf(err error) string {
	var e *cluster.Error
	if errors.As(err, &e) {
		return e.Subject
	}
	return ""
}

// cause returns the text of the innermost error that is not a *cluster.Error: without operations, which are ours.
func cause(err error) string {
	for {
		var e *cluster.Error
		if !errors.As(err, &e) {
			return err.Error()
		}
		if e.Err == nil {
			return e.Kind.String()
		}
		err = e.Err
	}
}

// RemoteError is an Error that a client received. Its kind is the one that the server named, or the one that fits the status.
func RemoteError(op string, status int, body []byte) *cluster.Error {
	var e Error
	if err := json.Unmarshal(body, &e); err != nil || e.Message == "" {
		return cluster.Fail(op, "", kindOfStatus(status), http.StatusText(status))
	}
	kind := cluster.ParseKind(e.Kind)
	if kind == cluster.KindOther {
		kind = kindOfStatus(status)
	}
	return cluster.Fail(op, "", kind, e.Message)
}

func kindOfStatus(status int) cluster.Kind {
	switch status {
	case http.StatusUnauthorized:
		return cluster.KindUnauthenticated
	case http.StatusForbidden:
		return cluster.KindDenied
	case http.StatusNotFound:
		return cluster.KindNotFound
	case http.StatusConflict:
		return cluster.KindConflict
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		return cluster.KindUnavailable
	case http.StatusNotImplemented:
		return cluster.KindNotImplemented
	case http.StatusBadRequest:
		return cluster.KindInvalid
	}
	return cluster.KindOther
}
