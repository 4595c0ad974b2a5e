//go:build e2e

package e2e

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

// TestModel shows that the checker finds what it is there to find.
func TestModel(t *testing.T) {
	type op struct {
		in         registerInput
		out        registerOutput
		call, done int64
	}
	write := func(v string) registerInput { return registerInput{op: put, value: v} }
	read := registerInput{op: get}
	f := func(name string, want bool, ops ...op) {
		t.Helper()
		var list []porcupine.Operation
		for i, o := range ops {
			list = append(list, porcupine.Operation{ClientId: i, Input: o.in, Output: o.out, Call: o.call, Return: o.done})
		}
		if got := porcupine.CheckOperations(registerModel(), list); got != want {
			t.Errorf("%s: linearizable = %v, want %v", name, got, want)
		}
	}
	ok := registerOutput{result: done}
	is := func(v string) registerOutput { return registerOutput{result: done, value: v} }
	lost := registerOutput{result: unknown}
	const ever = 1 << 60

	f("read what was written", true, op{write("a"), ok, 0, 1}, op{read, is("a"), 2, 3})
	f("acknowledged write lost", false, op{write("a"), ok, 0, 1}, op{read, registerOutput{result: absent}, 2, 3})
	f("stale read", false, op{write("a"), ok, 0, 1}, op{write("b"), ok, 2, 3}, op{read, is("a"), 4, 5})
	f("either of two concurrent writes", true, op{write("a"), ok, 0, 9}, op{write("b"), ok, 1, 8}, op{read, is("a"), 10, 11})
	f("a read goes back", false, op{write("a"), ok, 0, 1}, op{write("b"), lost, 2, ever}, op{read, is("b"), 3, 4}, op{read, is("a"), 5, 6})
	f("an unknown write comes late", true, op{write("a"), ok, 0, 1}, op{write("b"), lost, 2, ever}, op{read, is("a"), 3, 4}, op{read, is("b"), 5, 6})
	first := registerInput{op: create, value: "c"}
	second := registerInput{op: create, value: "d"}
	f("two creates both win", false, op{first, ok, 0, 3}, op{second, ok, 1, 2})
	f("one create wins", true, op{first, ok, 0, 3}, op{second, registerOutput{result: refused}, 1, 2})
	f("a refused create without an object", false, op{first, registerOutput{result: refused}, 0, 1}, op{read, registerOutput{result: absent}, 0, 9})
	f("swap of another value", false, op{write("a"), ok, 0, 1}, op{registerInput{op: swap, value: "e", expect: "z"}, ok, 2, 3})
}
