package api

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// MaxPage is the largest page of a list, and the default.
const MaxPage = 10000

// ListMsg is the value of action "list" on a bucket (AIStore: LSO).
type ListMsg struct {
	UUID       string      `json:"uuid"` // of the list session; carried, not needed
	Prefix     string      `json:"prefix"`
	Token      string      `json:"continuation_token"` // the last name of the page before
	StartAfter string      `json:"start_after"`
	PageSize   json.Number `json:"pagesize,omitempty"`
	Props      string      `json:"props"` // comma list of what entries shall hold besides their names
	Flags      ListFlags   `json:"flags,string"`
	TimeFormat string      `json:"time_format"`
	Target     string      `json:"target,omitempty"`
}

// ListFlags are the bits of ListMsg.Flags.
type ListFlags uint64

// The bits that have a meaning here. ListArchive and ListDiff are refused; what speaks of remote buckets changes nothing.
const (
	ListCached      ListFlags = 1 << 0
	ListArchive     ListFlags = 1 << 3
	ListNameOnly    ListFlags = 1 << 4
	ListNameSize    ListFlags = 1 << 5
	ListNoRecursion ListFlags = 1 << 11
	ListDiff        ListFlags = 1 << 12
	ListNoDirs      ListFlags = 1 << 13
)

// Limit returns the size of page asked for, at most MaxPage.
func (m *ListMsg) Limit() (int, error) {
	const op = "cluster/api.ListMsg.Limit"
	if m.PageSize == "" || m.PageSize == "0" {
		return MaxPage, nil
	}
	n, err := strconv.Atoi(string(m.PageSize))
	if err != nil || n < 0 {
		return 0, cluster.Fail(op, "", cluster.KindInvalid, "pagesize is not a number of names")
	}
	return min(n, MaxPage), nil
}

// Check refuses what is not implemented.
func (m *ListMsg) Check() error {
	const op = "cluster/api.ListMsg.Check"
	switch {
	case m.Flags&(ListArchive|ListDiff) != 0:
		return cluster.Fail(op, "", cluster.KindNotImplemented, "lists of archives and differences are not implemented")
	case m.Target != "":
		return cluster.Fail(op, "", cluster.KindNotImplemented, "the list of a single target is not implemented")
	}
	return nil
}

// EntryFlags are the bits of ListEntry.Flags; the lowest five are a status, 0 when all is well.
type EntryFlags uint16

// Bits of EntryFlags.
const (
	EntryCached EntryFlags = 1 << 6
	EntryDir    EntryFlags = 1 << 8
)

// ListEntry is one name of a list: in JSON with long names and the size as a string, in MessagePack with short names.
type ListEntry struct {
	Name     string     `json:"name"`
	Checksum string     `json:"checksum,omitempty"`
	Atime    string     `json:"atime,omitempty"`
	Version  string     `json:"version,omitempty"`
	Location string     `json:"location,omitempty"`
	Custom   string     `json:"custom-md,omitempty"`
	Size     int64      `json:"size,string,omitempty"`
	Copies   int16      `json:"copies,omitempty"`
	Flags    EntryFlags `json:"flags,omitempty"`
}

// ListResult is one page of a list. An empty token is the end.
type ListResult struct {
	UUID    string      `json:"uuid"`
	Token   string      `json:"continuation_token"`
	Entries []ListEntry `json:"entries"`
	Flags   uint32      `json:"flags"`
}

// NewListEntry returns the wire form of an entry, with the properties that msg asks for (by default name and size).
func NewListEntry(e cluster.Entry, msg *ListMsg) ListEntry {
	out := ListEntry{Name: string(e.Key)}
	if e.Prefix {
		out.Flags = EntryDir
		return out
	}
	if msg.Flags&ListNameOnly != 0 {
		return out
	}
	out.Size, out.Flags = e.Size, EntryCached
	if msg.Flags&ListNameSize != 0 {
		return out
	}
	for prop := range strings.SplitSeq(msg.Props, ",") {
		switch strings.TrimSpace(prop) {
		case "checksum":
			out.Checksum = e.Checksum
		case "atime":
			out.Atime = FormatTime(e.Accessed, msg.TimeFormat)
		case "version":
			out.Version = strconv.FormatInt(e.Version, 10)
		case "copies":
			out.Copies = 1
		case "custom":
			out.Custom = customOf(e)
		}
	}
	return out
}

// customOf writes what AIStore keeps as custom metadata: "[ETag:...,LastModified:...]".
func customOf(e cluster.Entry) string {
	return "[ETag:" + e.ETag + ",LastModified:" + e.Modified.UTC().Format(time.RFC3339) + "]"
}

// FormatTime writes a time in the layout that a client asks for; RFC822 by default, and "" for no time.
func FormatTime(t time.Time, layout string) string {
	if t.IsZero() || t.UnixNano() == 0 {
		return ""
	}
	if layout == "" {
		layout = time.RFC822
	}
	return t.Format(layout)
}
