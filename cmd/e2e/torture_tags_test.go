//go:build e2e

package e2e

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
)

// tagVersion changes or removes the tag of a version.
func (w *worker) tagVersion(key string, v *version) {
	if v.marker {
		return
	}
	kind, want, status := "DELETE tags", "", http.StatusNoContent
	r := ofVersion(http.MethodDelete, key, v)
	r.query = "tagging=&" + r.query
	if w.random.IntN(4) > 0 {
		kind, want, status = "PUT tags", w.mark(), http.StatusOK
		r.method = http.MethodPut
		r.body = fmt.Appendf(nil, "<Tagging><TagSet><Tag><Key>mark</Key><Value>%s</Value></Tag></TagSet></Tagging>", want)
		r.header = map[string]string{"Content-Md5": contentMD5(r.body)}
	}
	switch a := w.ask(kind, r); {
	case a.never():
	case a.unknown():
		v.tagged = append(v.tagged, want)
	case a.status == status:
		v.tag = want
	default:
		w.problem("%s of version %s of %s/%s through node %d: %s", kind, v.id, versionsBucket, key, a.node, a)
	}
}

// readTags reads the tag of a version; false when there was no answer.
func (w *worker) readTags(key string, v *version) bool {
	if v.marker {
		return true
	}
	r := ofVersion(http.MethodGet, key, v)
	r.query = "tagging=&" + r.query
	a := w.ask("GET tags", r)
	if a.err != nil || a.status >= 500 {
		return false
	}
	var body struct {
		Values []string `xml:"TagSet>Tag>Value"`
	}
	switch {
	case a.status == http.StatusNotFound && v.there != yes:
	case a.status != http.StatusOK || v.there == no || xml.Unmarshal(a.body, &body) != nil || len(body.Values) > 1:
		w.problem("tags of version %s of %s/%s, there: %v, through node %d: %s", v.id, versionsBucket, key, v.there, a.node, a)
	default:
		tag := ""
		if len(body.Values) > 0 {
			tag = body.Values[0]
		}
		if tag != v.tag && !slices.Contains(v.tagged, tag) {
			w.problem("version %s of %s/%s through node %d has tag %q, want %q or one of %q", v.id, versionsBucket, key, a.node, tag, v.tag, v.tagged)
		}
	}
	return true
}
