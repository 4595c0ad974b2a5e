package lifecycle

import (
	"math"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func pointer[T any](v T) *T { return &v }

func TestDays(t *testing.T) {
	day := Clock{}
	f := func(c Clock, from string, days int, want string) {
		t.Helper()
		if got := c.after(at(from), days); !got.Equal(at(want)) {
			t.Errorf("%s and %d days: %s, want %s", from, days, got.Format(time.RFC3339Nano), want)
		}
	}
	f(day, "2014-01-15T10:30:00Z", 3, "2014-01-19T00:00:00Z") // AWS's own example
	f(day, "2014-01-15T00:00:00Z", 3, "2014-01-18T00:00:00Z")
	f(day, "2014-01-15T00:00:01+02:00", 1, "2014-01-16T00:00:00Z")
	f(day, "1969-12-31T12:00:00Z", 1, "1970-01-02T00:00:00Z")
	f(Clock{Day: 10 * time.Second}, "2014-01-15T10:30:01Z", 3, "2014-01-15T10:30:40Z")
	f(Clock{Day: 10 * time.Second}, "2014-01-15T10:30:10Z", 1, "2014-01-15T10:30:20Z")
	if got := day.after(at("2014-01-15T10:30:00Z"), math.MaxInt32); got.Year() != 2262 {
		t.Errorf("for ever: %s", got)
	}
	if n := day.Number(at("1970-01-02T23:59:59Z")); n != 1 {
		t.Errorf("day %d, want 1", n)
	}
	if n := day.Number(at("1969-12-31T23:59:59Z")); n != -1 {
		t.Errorf("day %d, want -1", n)
	}
}

// TestExpires has rules against versions: what goes when, and by which rule.
func TestExpires(t *testing.T) {
	made := at("2020-05-05T12:00:00Z")
	days := func(n int) *Expiration { return &Expiration{Days: n} }
	c := &Configuration{Rules: []Rule{
		{ID: "off", Disabled: true, Prefix: pointer(""), Expiration: days(1)},
		{ID: "logs", Prefix: pointer("logs/"), Expiration: days(10)},
		{ID: "logs of a day", Filter: &Filter{Prefix: pointer("logs/day/")}, Expiration: days(2)},
		{ID: "date", Filter: &Filter{Prefix: pointer("date/")}, Expiration: &Expiration{Date: at("2020-06-01T00:00:00Z")}},
		{ID: "tag", Filter: &Filter{Tags: []Tag{{"a", "1"}}}, Expiration: days(3)},
		{ID: "tags", Filter: &Filter{And: true, Prefix: pointer("x"), Tags: []Tag{{"a", "2"}, {"b", "2"}}}, Expiration: days(4)},
		{ID: "large", Filter: &Filter{Larger: pointer(int64(1000))}, Expiration: days(5)},
		{ID: "small", Filter: &Filter{And: true, Prefix: pointer("s"), Smaller: pointer(int64(10))}, Expiration: days(6)},
		{ID: "versions", Filter: &Filter{Prefix: pointer("v/")}, Noncurrent: &Noncurrent{Days: 1, Keep: 2}},
		{ID: "all versions", Filter: &Filter{Prefix: pointer("v/")}, Noncurrent: &Noncurrent{Days: 30}},
		{ID: "markers", Filter: &Filter{Prefix: pointer("m/")}, Expiration: &Expiration{Marker: pointer(true)}},
		{ID: "no markers", Filter: &Filter{Prefix: pointer("n/")}, Expiration: &Expiration{Marker: pointer(false)}},
		{ID: "uploads", Filter: &Filter{Prefix: pointer("up")}, AbortDays: 7},
	}}
	check := func(due time.Time, r *Rule, want, rule string) {
		t.Helper()
		switch {
		case r == nil && rule == "":
		case r == nil:
			t.Errorf("nothing expires, want rule %s", rule)
		case r.ID != rule || !due.Equal(at(want+"T00:00:00Z")):
			t.Errorf("rule %q at %s, want %q at %s", r.ID, due.Format(time.DateOnly), rule, want)
		}
	}
	current := func(key string, size int64, want, rule string, tags ...Tag) {
		t.Helper()
		due, r := c.Expires(&Version{Key: cluster.ObjectKey(key), Size: size, Tags: tags, Modified: made}, Clock{})
		check(due, r, want, rule)
	}
	current("other", 10, "", "")
	current("log", 10, "", "")
	current("logs/a", 10, "2020-05-16", "logs")
	current("logs/day/a", 10, "2020-05-08", "logs of a day")
	current("date/a", 10, "2020-06-01", "date")
	current("logs/a", 10, "2020-05-09", "tag", Tag{"a", "1"})
	current("a", 10, "", "", Tag{"a", "2"})
	current("xa", 10, "", "", Tag{"a", "2"})
	current("xa", 10, "2020-05-10", "tags", Tag{"b", "2"}, Tag{"c", "2"}, Tag{"a", "2"})
	current("a", 1000, "", "")
	current("a", 1001, "2020-05-11", "large")
	current("s", 10, "", "")
	current("s", 9, "2020-05-12", "small")
	current("m/a", 10, "", "")
	current("v/a", 10, "", "")

	marker := func(key, want, rule string) {
		t.Helper()
		due, r := c.ExpiresMarker(&Version{Key: cluster.ObjectKey(key), Modified: made.Truncate(24 * time.Hour)}, Clock{})
		check(due, r, want, rule)
	}
	marker("a", "", "")
	marker("m/a", "2020-05-05", "markers") // at once
	marker("n/a", "", "")
	marker("logs/a", "2020-05-15", "logs")
	marker("s", "", "") // it has no size

	noncurrent := func(key string, newer int, want, rule string) {
		t.Helper()
		due, r := c.ExpiresNoncurrent(&Version{Key: cluster.ObjectKey(key), Modified: made.Add(-1000 * time.Hour)}, made, newer, Clock{})
		check(due, r, want, rule)
	}
	noncurrent("v/a", 0, "2020-06-05", "all versions")
	noncurrent("v/a", 1, "2020-06-05", "all versions")
	noncurrent("v/a", 2, "2020-05-07", "versions")
	noncurrent("logs/a", 5, "", "")

	upload := func(key, want, rule string) {
		t.Helper()
		due, r := c.Aborts(cluster.ObjectKey(key), made, Clock{})
		check(due, r, want, rule)
	}
	upload("up/a", "2020-05-13", "uploads")
	upload("logs/a", "", "")
}

func TestPrefixes(t *testing.T) {
	f := func(want []string, prefixes ...string) {
		t.Helper()
		c := &Configuration{Rules: []Rule{{Disabled: true, Prefix: pointer("")}}}
		for _, p := range prefixes {
			c.Rules = append(c.Rules, Rule{Filter: &Filter{Prefix: &p}})
		}
		got := c.Prefixes()
		if len(got) != len(want) {
			t.Fatalf("%q: %q, want %q", prefixes, got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%q: %q, want %q", prefixes, got, want)
			}
		}
	}
	f(nil)
	f([]string{"a", "b/"}, "b/", "a", "a/b", "b/c", "b/")
	f([]string{""}, "x", "", "y")
}
