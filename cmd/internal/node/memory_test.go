package node

import "testing"

func TestCacheFor(t *testing.T) {
	f := func(memory, want int64) {
		t.Helper()
		if got := cacheFor(memory); got != want {
			t.Errorf("of %d: %d, want %d", memory, got, want)
		}
	}
	f(0, 64<<20)
	f(2<<30, 64<<20)
	f(16<<30, 256<<20)
	f(1<<40, 4<<30)
	if limit := memoryLimit(); limit < 64<<20 {
		t.Errorf("this process may use %d bytes", limit)
	}
}
