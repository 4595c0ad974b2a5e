package s3

import (
	"testing"

	"github.com/aisle-store/aisle/s3/policy"
)

// TestOperationActions: no operation is without an action, and each is of the kind of resource that the request names.
func TestOperationActions(t *testing.T) {
	for o := NoOperation + 1; o < operationEnd; o++ {
		want := policy.OnBucket
		switch {
		case o == ListBuckets:
			want = policy.OnService
		case o.OnObject(), o == DeleteObjects, o == PostObject:
			want = policy.OnObject
		}
		if a := o.Action(); a == policy.NoAction || a.On() != want {
			t.Errorf("%s needs %q, which is of another kind", o, a)
		}
	}
}

func TestNeeds(t *testing.T) {
	c := newCall(t, "PUT", "/b/k", "h", 0, fields{{"x-amz-copy-source", "from/some%20key"}})
	c.Op = CopyObject
	needs, err := c.Needs()
	if err != nil || len(needs) != 1 || needs[0] != (Need{policy.GetObject, "from", "some key", true}) {
		t.Errorf("a copy needs %v, %v", needs, err)
	}
	c = newCall(t, "PUT", "/b/k", "h", 0, fields{{"x-amz-copy-source", "from/k"}, {TaggingHeader, "a=b"}})
	c.Op = CopyObject
	if needs, err := c.Needs(); err != nil || len(needs) != 2 || needs[1] != (Need{Action: policy.PutObjectTagging, Bucket: "b", Key: "k"}) {
		t.Errorf("a copy with tags needs %v, %v", needs, err)
	}
}
