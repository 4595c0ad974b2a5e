package api

import "time"

// WhatDenials asks a node for the requests that it has denied.
const WhatDenials = "denials"

// Denial is a request that was denied because of what policies and access control lists say.
type Denial struct {
	Time      time.Time `json:"time"`
	Node      string    `json:"node"`
	Request   string    `json:"request"`             // as the client was told in x-amz-request-id
	Identity  string    `json:"identity,omitempty"`  // the access key; none of a request without a signature
	Principal string    `json:"principal,omitempty"` // the ARN of who asked
	Action    string    `json:"action"`              // as policies name it
	Resource  string    `json:"resource"`            // the ARN of what it was to be done to
	Why       string    `json:"why"`                 // the statement that decided, or that there is none
}
