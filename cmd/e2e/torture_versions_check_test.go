//go:build e2e

package e2e

import (
	"encoding/xml"
	"testing"
)

// TestVersionsModel plants lists of versions that are wrong, and shows that the checker finds them.
func TestVersionsModel(t *testing.T) {
	t.Parallel()
	entry := func(id, etag string) listedVersion {
		name := "Version"
		if etag == "" {
			name = "DeleteMarker"
		}
		return listedVersion{XMLName: xml.Name{Local: name}, Key: "k", VersionID: id, ETag: etag}
	}
	made := func(id, etag string, there sure) *version {
		return &version{id: id, marker: etag == "", state: state{etag: etag, mark: "m" + id}, there: there}
	}
	c := &chain{known: []*version{made("1", "a", yes), made("2", "b", no), made("3", "", yes), made("4", "c", maybe)}}
	for i, f := range []struct {
		lost   []state
		listed []listedVersion
		right  bool
	}{
		{nil, []listedVersion{entry("3", ""), entry("1", "a")}, true},
		{nil, []listedVersion{entry("4", "c"), entry("3", ""), entry("1", "a")}, true},
		{nil, []listedVersion{entry("1", "a")}, false}, // short at its begin
		{nil, []listedVersion{entry("3", "")}, false},  // at its end
		{nil, nil, false}, // of everything
		{nil, []listedVersion{entry("3", ""), entry("2", "b"), entry("1", "a")}, false}, // one came back
		{nil, []listedVersion{entry("1", "a"), entry("3", "")}, false},                  // in another order
		{nil, []listedVersion{entry("3", ""), entry("3", ""), entry("1", "a")}, false},  // twice
		{nil, []listedVersion{entry("3", ""), entry("1", "x")}, false},                  // other bytes
		{nil, []listedVersion{entry("3", "x"), entry("1", "a")}, false},                 // no marker
		{nil, []listedVersion{entry("9", "y"), entry("3", ""), entry("1", "a")}, false}, // nobody's
		{[]state{{etag: "y", mark: "m"}}, []listedVersion{entry("9", "y"), entry("3", ""), entry("1", "a")}, true},
		{[]state{{etag: "y", mark: "m"}}, []listedVersion{entry("9", ""), entry("3", ""), entry("1", "a")}, false},
		{[]state{{}}, []listedVersion{entry("9", ""), entry("3", ""), entry("1", "a")}, true},
		{[]state{{}}, []listedVersion{entry("9", ""), entry("8", ""), entry("3", ""), entry("1", "a")}, false},
	} {
		c.lost = f.lost
		for j := range f.listed {
			f.listed[j].IsLatest = j == 0
		}
		if wrong := c.differs(f.listed); (wrong == "") != f.right {
			t.Errorf("list %d: %q", i, wrong)
		}
	}
	if wrong := c.differs([]listedVersion{entry("3", ""), entry("1", "a")}); wrong == "" {
		t.Error("a list without a latest version is right")
	}
}
