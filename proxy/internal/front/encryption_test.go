package front

import "testing"

func TestIsLoopback(t *testing.T) {
	f := func(remote string, want bool) {
		t.Helper()
		if isLoopback(remote) != want {
			t.Errorf("%q: %v", remote, !want)
		}
	}
	f("127.0.0.1:5000", true)
	f("127.9.9.9:1", true)
	f("[::1]:5000", true)
	f("[::ffff:127.0.0.1]:5000", true)
	f("10.0.0.1:5000", false)
	f("[2001:db8::1]:5000", false)
	f("127.0.0.1", false)
	f("", false)
	f("@", false)
}
