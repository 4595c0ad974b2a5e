//go:build e2e

package e2e

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// opKind is what a client does to a register: an object whose value is named by its ETag.
type opKind int

const (
	get    opKind = iota
	put           // unconditionally
	create        // If-None-Match: *
	swap          // If-Match: the ETag expected
	remove
)

func (k opKind) String() string { return [...]string{"get", "put", "create", "swap", "delete"}[k] }

type registerInput struct {
	op     opKind
	key    string
	value  string // ETag of what is written
	expect string // ETag that swap replaces
}

// result is what the client knows of the outcome.
type result int

const (
	done    result = iota // 200 or 204
	absent                // 404 NoSuchKey
	refused               // 412
	unknown               // a time-out, a broken connection, 5xx: it happened, or not, or it will
	never                 // the connection was refused: it did not happen
)

func (r result) String() string { return [...]string{"ok", "absent", "refused", "unknown", "never"}[r] }

type registerOutput struct {
	result result
	value  string // ETag that get returned
}

// registerModel is one register for each key; a state is the ETag, "" where there is no object.
func registerModel() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byKey := make(map[string][]porcupine.Operation)
			for _, op := range history {
				key := op.Input.(registerInput).key
				byKey[key] = append(byKey[key], op)
			}
			var parts [][]porcupine.Operation
			for _, part := range byKey {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			return registerStep(state.(string), input.(registerInput), output.(registerOutput))
		},
		DescribeOperation: func(input, output any) string {
			in, out := input.(registerInput), output.(registerOutput)
			return fmt.Sprintf("%v %.6s (if %.6s): %v %.6s", in.op, in.value, in.expect, out.result, out.value)
		},
	}
}

// registerStep says whether an operation in a state can have that outcome, and the state after it. An unknown outcome
// takes the effect that the state allows: that it had none is covered by its taking place after everything else.
func registerStep(state string, in registerInput, out registerOutput) (bool, any) {
	holds := true // whether the condition of the operation is true
	next := in.value
	switch in.op {
	case get:
		return out.result == done && state == out.value || out.result == absent && state == "", state
	case create:
		holds = state == ""
	case swap:
		holds = state == in.expect
	case remove:
		next = ""
	}
	switch out.result {
	case done:
		return holds, next
	case refused:
		return !holds && state != "", state
	case absent:
		return in.op == swap && state == "", state
	}
	if holds {
		return true, next
	}
	return true, state
}
