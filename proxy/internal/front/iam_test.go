package front

import (
	"testing"

	"github.com/aisle-store/aisle/s3/policy"
)

// TestQueryActions: each action of the query API is one that policies can name.
func TestQueryActions(t *testing.T) {
	for name := range queryActions {
		if policy.ActionOf("iam:"+name) == policy.NoAction {
			t.Errorf("no policy can allow iam:%s", name)
		}
	}
	for name := range ofSelf {
		if queryActions[name] == nil {
			t.Errorf("%s is not built", name)
		}
	}
}
