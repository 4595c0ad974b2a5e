//go:build e2e

package e2e

import (
	"fmt"
	"strings"

	"github.com/anishathalye/porcupine"
)

// deed is what an operation of the torture does to one key.
type deed int

const (
	read     deed = iota // GET, whole or a range, and HEAD: ETag and mark
	glance               // a list: the ETag
	write                // PUT, copy, complete: whatever is there
	writeNew             // If-None-Match: *
	writeOn              // If-Match: an ETag
	touch                // a copy onto itself: other metadata on the bytes of an ETag
	erase                // DELETE, alone or among others
)

func (d deed) String() string {
	return [...]string{"read", "glance", "write", "create", "swap", "touch", "delete"}[d]
}

// state is what a key holds: the ETag of its bytes and the mark that its last change left in its metadata. The zero value
// is no object.
type state struct{ etag, mark string }

type deedInput struct {
	deed   deed
	key    string
	next   state  // after it
	expect string // ETag that writeOn and touch replace
}

type deedOutput struct {
	result result
	seen   state
}

// tortureModel is a register for each key, of state.
func tortureModel() porcupine.Model {
	return porcupine.Model{
		Init: func() any { return state{} },
		Step: func(s, input, output any) (bool, any) {
			return deedStep(s.(state), input.(deedInput), output.(deedOutput))
		},
		DescribeOperation: func(input, output any) string {
			in, out := input.(deedInput), output.(deedOutput)
			what := fmt.Sprintf("%v %.6s %s", in.deed, in.next.etag, in.next.mark)
			if in.expect != "" {
				what += fmt.Sprintf(" if %.6s", in.expect)
			}
			return strings.TrimSpace(what) + fmt.Sprintf(": %v %.6s %s", out.result, out.seen.etag, out.seen.mark)
		},
	}
}

// deedStep says whether an operation in a state can have that outcome, and the state after it. See registerStep.
func deedStep(s state, in deedInput, out deedOutput) (bool, any) {
	holds := true
	switch in.deed {
	case read:
		return out.result == done && s == out.seen || out.result == absent && s == state{}, s
	case glance:
		return out.result == done && s.etag == out.seen.etag || out.result == absent && s == state{}, s
	case writeNew:
		holds = s == state{}
	case writeOn, touch:
		holds = s.etag == in.expect
	}
	switch out.result {
	case done:
		return holds, in.next
	case refused:
		return !holds && s != state{}, s
	case absent:
		return (in.deed == writeOn || in.deed == touch) && s == state{}, s
	}
	if holds {
		return true, in.next
	}
	return true, s
}
