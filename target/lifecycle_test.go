package target

import (
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
	"github.com/aisle-store/aisle/s3"
)

// TestExpiry asks for the buckets with rules while rules, buckets and the length of the day change.
func TestExpiry(t *testing.T) {
	rules := func(days string) *cluster.BucketConfig {
		return &cluster.BucketConfig{Kind: s3.LifecycleDocument, Value: []byte(`{"Rules":[{"ID":"a","Prefix":"","Expiration":{"Days":` + days + `}}]}`)}
	}
	p := &plane{
		buckets: []cluster.BucketEntry{{ID: 9}, {ID: 3}, {ID: 5}, {ID: 4}},
		configs: map[cluster.BucketID]*cluster.BucketConfig{9: rules("1"), 3: rules("2"), 4: {Kind: "cors"}, 5: rules(`"x"`)},
	}
	e := &expiry{control: p}
	all, first := e.Expiring()
	if len(all) != 2 || all[0].Bucket.ID != 3 || all[1].Bucket.ID != 9 || all[0].Rules.Rules[0].Expiration.Days != 2 {
		t.Fatalf("%+v", all)
	}
	if _, now := e.Rules(3); now != all[0].Rules {
		t.Error("the same rules are others")
	}
	if _, now := e.Rules(4); now != nil {
		t.Errorf("rules of a bucket without: %+v", now)
	}
	if _, now := e.Rules(5); now != nil {
		t.Errorf("rules that cannot be read: %+v", now)
	}
	if _, now := e.Rules(77); now != nil {
		t.Errorf("rules of no bucket: %+v", now)
	}
	p.configs[3] = rules("3")
	p.version++
	if again, print := e.Expiring(); print == first || again[0].Rules == all[0].Rules {
		t.Error("other rules are the same")
	}
	if _, now := e.Rules(3); now == all[0].Rules {
		t.Error("rules that were replaced still hold")
	}
	if day := e.Clock().Day; day != 24*time.Hour {
		t.Errorf("a day has %s", day)
	}
	p.day = "5s"
	if day := e.Clock().Day; day != 5*time.Second {
		t.Errorf("a day has %s", day)
	}
}
