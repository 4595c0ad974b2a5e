package s3

import (
	"os"
	"strings"
	"testing"
)

// TestDocument compares docs/s3compat.md with the tables that route.
func TestDocument(t *testing.T) {
	text, err := os.ReadFile("../docs/s3compat.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	for o := ListBuckets; o < operationEnd; o++ {
		if !strings.Contains(doc, "\n| "+o.String()+" | ") {
			t.Errorf("%s is built and not in docs/s3compat.md", o)
		}
	}
	_, refused, _ := strings.Cut(doc, "by sub-resource of a bucket:")
	ofBucket, ofObject, _ := strings.Cut(refused, "by sub-resource or parameter of an object:")
	check := func(table []resource, section string) {
		for i := range table {
			built := false
			for _, o := range table[i].methods {
				built = built || o != NoOperation
			}
			if row := strings.Contains(section, "\n| `"+table[i].name+"` | "); row == built {
				t.Errorf("sub-resource %s: refused by docs/s3compat.md: %v, built: %v", table[i].name, row, built)
			}
		}
	}
	check(bucketResources, ofBucket)
	check(objectResources, ofObject)
}
