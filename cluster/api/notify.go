package api

import "time"

// What a node is asked of events of buckets, and what is done with its dead letters: by QueryAction, to those for
// QueryDestination or to all.
const (
	WhatNotify       = "notify"
	QueryDestination = "destination"
	ActionSendDead   = "send-dead-letters"
	ActionDropDead   = "drop-dead-letters"
)

// Notify is the events of buckets at one node.
type Notify struct {
	Node         string              `json:"node"`
	Destinations []NotifyDestination `json:"destinations"`
	DeadLetters  []DeadLetter        `json:"dead_letters"` // the oldest first
	More         int                 `json:"more"`         // dead letters beyond those
}

// NotifyDestination is what a node has told one destination since it started.
type NotifyDestination struct {
	Name    string `json:"name"`
	Waiting int    `json:"waiting"` // now
	Dead    int    `json:"dead"`    // now
	Sent    int64  `json:"sent"`
	Failed  int64  `json:"failed"`
	Dropped int64  `json:"dropped"`
}

// DeadLetter is an event that is not sent by itself any more.
type DeadLetter struct {
	Destination string    `json:"destination"`
	Bucket      string    `json:"bucket,omitempty"` // none when it is gone
	Key         string    `json:"key"`
	Version     string    `json:"version,omitempty"`
	Event       string    `json:"event"`
	Time        time.Time `json:"time"`
	Why         string    `json:"why"`
}

// NotifyDone is what became of dead letters: how many were sent or dropped, and how many are left. Who wants more asks again, unless
// there is an error.
type NotifyDone struct {
	Count int    `json:"count"`
	Left  int    `json:"left"`
	Error string `json:"error,omitempty"`
}
