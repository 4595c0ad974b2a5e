package audit

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster/api"
)

func TestNewestFirstAndBounded(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l := New("n1", slog.New(slog.DiscardHandler), func() time.Time { return now })
	if list := l.Denials(); list == nil || len(list) != 0 {
		t.Fatal(list)
	}
	for i := range 2*kept + 7 {
		l.Denied(api.Denial{Request: fmt.Sprint(i), Resource: strings.Repeat("x", i*10)})
		if i < 3 || i > 2*kept {
			list := l.Denials()
			if len(list) != min(i+1, kept) || list[0].Request != fmt.Sprint(i) || list[len(list)-1].Request != fmt.Sprint(max(0, i+1-kept)) {
				t.Fatal(i, len(list), list[0].Request, list[len(list)-1].Request)
			}
		}
	}
	first := l.Denials()[0]
	if l.Total() != 2*kept+7 || first.Node != "n1" || !first.Time.Equal(now) || len(first.Resource) != longest {
		t.Fatal(l.Total(), first.Node, first.Time, len(first.Resource))
	}
}

func TestTextsAreUTF8(t *testing.T) {
	l := New("n1", slog.New(slog.DiscardHandler), time.Now)
	l.Denied(api.Denial{Resource: strings.Repeat("\u00e9", longest), Why: "\xff"})
	if d := l.Denials()[0]; !strings.HasPrefix(d.Resource, "\u00e9\u00e9") || d.Why != "\uFFFD" {
		t.Fatal(d)
	}
}
