package cli

import (
	"context"
	"errors"
	"strings"

	"github.com/aisle-store/aisle/cluster"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailure     = 1 // anything else
	exitUsage       = 2 // the command line is wrong
	exitNotFound    = 3
	exitDenied      = 4
	exitConflict    = 5 // exists already, is not empty, changed meanwhile
	exitUnavailable = 6 // cannot be reached or cannot answer now: try again
	exitUnsupported = 7
	exitInterrupted = 130
)

// outcomes says, for each kind of error, how the process ends and what the user can do next.
var outcomes = map[cluster.Kind]struct {
	code int
	next string
}{
	cluster.KindInvalid:            {exitUsage, ""},
	cluster.KindUnauthenticated:    {exitDenied, "log in with: aisle login"},
	cluster.KindDenied:             {exitDenied, "use another key with: aisle login --profile NAME"},
	cluster.KindBucketNotFound:     {exitNotFound, "list buckets with: aisle ls"},
	cluster.KindObjectNotFound:     {exitNotFound, "list the bucket with: aisle ls BUCKET"},
	cluster.KindUploadNotFound:     {exitNotFound, ""},
	cluster.KindVersionNotFound:    {exitNotFound, ""},
	cluster.KindLocked:             {exitDenied, ""},
	cluster.KindNotFound:           {exitNotFound, ""},
	cluster.KindBucketExists:       {exitConflict, "show it with: aisle bucket show BUCKET"},
	cluster.KindBucketNotEmpty:     {exitConflict, "delete its objects too with: aisle rmb --force BUCKET"},
	cluster.KindConflict:           {exitConflict, ""},
	cluster.KindPreconditionFailed: {exitConflict, ""},
	cluster.KindNotModified:        {exitConflict, ""},
	cluster.KindRange:              {exitUsage, "see its size with: aisle object show BUCKET/OBJECT"},
	cluster.KindUnavailable:        {exitUnavailable, "see which nodes are missing with: aisle show cluster"},
	cluster.KindNoSpace:            {exitFailure, "see the disks with: aisle show cluster"},
	cluster.KindTimeout:            {exitUnavailable, "try again"},
	cluster.KindNotImplemented:     {exitUnsupported, ""},
	cluster.KindMethod:             {exitUnsupported, ""},
	cluster.KindChecksum:           {exitFailure, "try again"},
	cluster.KindCorrupt:            {exitFailure, "the node's log says which disk holds the damaged data"},
	cluster.KindOther:              {exitFailure, ""},
	cluster.KindTooLarge:           {exitUsage, ""},
	cluster.KindPart:               {exitFailure, ""},
	cluster.KindPartTooSmall:       {exitFailure, ""},
	cluster.KindPartOrder:          {exitFailure, ""},
}

// exitCode returns how the process ends.
func exitCode(ctx context.Context, err error) int {
	var e *cluster.Error
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil:
		return exitInterrupted
	case isUsage(err):
		return exitUsage
	case isUnreachable(err):
		return exitUnavailable
	case errors.As(err, &e):
		return outcomes[e.Kind].code
	}
	return exitFailure
}

// describe puts an error into one line, with a next step where there is one.
func describe(err error) string {
	var e *cluster.Error
	if !errors.As(err, &e) {
		return oneLine(err.Error())
	}
	text := oneLine(cause(err))
	if e.Subject != "" && !strings.Contains(text, e.Subject) {
		text = e.Subject + ": " + text
	}
	next := outcomes[e.Kind].next
	if isUnreachable(err) {
		next = "start a cluster with: aisle dev; or name one with: aisle login URL"
	}
	if next != "" {
		text += "; " + next
	}
	return text
}

// unreachable is implemented by errors of connections that were never made.
type unreachable interface{ Unreachable() bool }

func isUnreachable(err error) bool {
	var u unreachable
	return errors.As(err, &u) && u.Unreachable()
}

// cause returns the text below the operations, which mean nothing to a user.
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

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
