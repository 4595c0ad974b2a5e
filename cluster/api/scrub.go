package api

import "time"

// Scrub is the answer to what=scrub: how far a node's verification of what it has is, and what it found.
type Scrub struct {
	Mountpaths []ScrubState `json:"mountpaths"`
	Damages    []Damage     `json:"damages"`             // not repaired yet, what has the fewest other copies first
	More       int64        `json:"more,string"`         // damages that were found and could not be kept
	Node       string       `json:"daemon_id,omitempty"` // set by who asks
}

// ScrubState is the verification of one mountpath.
type ScrubState struct {
	ID       string    `json:"id"`
	Path     string    `json:"path"`
	Failed   string    `json:"failed,omitempty"` // why nothing can be verified
	Asked    bool      `json:"asked"`            // a pass is about to begin, because somebody asked for it
	Running  bool      `json:"running"`
	Pass     int64     `json:"pass,string"`
	Began    time.Time `json:"began"`
	Ended    time.Time `json:"ended"` // zero before the end of the pass
	Entries  int64     `json:"entries,string"`
	Bytes    int64     `json:"bytes,string"`
	Previous int64     `json:"previous,string"` // bytes of the pass before: about what this one comes to
	Found    int64     `json:"found,string"`
	Damaged  int64     `json:"damaged,string"`
	Repaired int64     `json:"repaired,string"` // since the node started
}

// Damage is something that cannot be believed and is not repaired yet.
type Damage struct {
	Mountpath string    `json:"mountpath"`
	Object    string    `json:"object"` // empty: a part of the index, and nobody knows what was in it
	Upload    string    `json:"upload,omitempty"`
	Part      int       `json:"part,omitempty"`
	Since     time.Time `json:"since"`
	Error     string    `json:"error"`
	Copies    int       `json:"copies"` // other holders in sync
	Attempts  int       `json:"attempts"`
	Failed    string    `json:"failed,omitempty"` // why the last attempt to repair it failed
}
