package intra

import (
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

//go:generate go tool msgp -io=false -tests=false -file grant.go -o grant_gen.go

//msgp:replace cluster.RequestID with:string
//msgp:replace cluster.AccessKeyID with:string
//msgp:replace cluster.BucketName with:string
//msgp:replace cluster.Provider with:string
//msgp:replace cluster.ObjectKey with:string
//msgp:replace cluster.NodeID with:string
//msgp:replace cluster.BucketID with:uint64
//msgp:replace cluster.Slot with:uint32
//msgp:replace cluster.Epoch with:uint64
//msgp:replace cluster.MapVersion with:uint64
//msgp:replace cluster.Incarnation with:uint64
//msgp:replace Dialect with:uint8
//msgp:replace Rights with:uint8
//msgp:shim cluster.Bucket as:string using:bucketText/bucketOf
//msgp:tuple Grant Payload

// Dialect is the protocol that the client of a granted request speaks.
type Dialect uint8

const (
	S3     Dialect = iota // S3 at / and /s3
	Native                // the native API at /v1
	Node                  // a node's own call under /-/node/
)

// Rights is what the caller may do besides what the operation itself needs.
type Rights uint8

const (
	BypassRetention Rights = 1 << iota // remove or change a version whose retention is in governance mode; the request asks for it
	SeeRetention                       // be told the retention of what is read
	SeeHold                            // be told its legal hold
	CarryTags                          // read the tags of a copy's source, and tag the copy
)

// Grant says what a gateway has established about one request: who sent it, what it is about, and under which map. The
// owner acts on it without authenticating again, and refuses it when Owner, Epoch or BucketID is not what it knows.
type Grant struct {
	Request    cluster.RequestID   `msg:"r"` // the request's id for its whole life
	Identity   cluster.AccessKeyID `msg:"i"` // the key it is bound to; "" is anonymous
	Root       bool                `msg:"R"`
	Dialect    Dialect             `msg:"d"`
	Operation  string              `msg:"o"` // as routed: the name of the S3 or native operation
	Bucket     cluster.Bucket      `msg:"b"`
	BucketID   cluster.BucketID    `msg:"B"`
	Key        cluster.ObjectKey   `msg:"k"` // decoded; "" for calls that are not about one object
	Slot       cluster.Slot        `msg:"s"`
	Owner      cluster.NodeID      `msg:"O"` // the node this grant is for
	Epoch      cluster.Epoch       `msg:"e"` // of the slot, as the gateway sees it
	MapVersion cluster.MapVersion  `msg:"m"`
	Gateway    cluster.NodeID      `msg:"g"` // who grants
	Write      bool                `msg:"w"` // the request changes something: its ticket is good once
	Payload    Payload             `msg:"p"`
	Expires    time.Time           `msg:"x"` // set by Seal
	Hide       bool                `msg:"H"` // the caller must not learn that an object does not exist
	Rights     Rights              `msg:"l"`
	Redirect   string              `msg:"-"` // who is sent to the owner, if the key says it; the gateway's own

	// Who owns what the request makes, by the id of the user or role. Of a read of an access control list: who owns the object,
	// where lists do not count; and of a change of one: the canonical user id that has to be its owner's. Else "".
	Holder   string `msg:"h"`
	ACL      string `msg:"a"` // the access control list that the request gives to the object; "" is the one by default
	Provisos []byte `msg:"P"` // what the owner still has to judge, as package s3 has it
	Source   []byte `msg:"S"` // and of the object that a copy reads

	// A write says how old it can be (docs/consistency.md, "Attempts of a request"), unless it is the only attempt.
	Once        bool                `msg:"1"` // the client was sent to the owner: there is no other attempt under this request id
	Incarnation cluster.Incarnation `msg:"I"` // of the owner, whose clock Began is by; 0: no reading of it is known
	Began       time.Duration       `msg:"t"` // what the owner's clock had at least reached when the request came to the gateway

	// Of a write to a bucket that tells others of its changes.
	Remote string `msg:"a"` // the address of the client
	Form   bool   `msg:"f"` // the object comes from a browser's form
}

// Payload is what the gateway learnt from the signature about the request's body. The owner verifies the body with it.
type Payload struct {
	Mode   string `msg:"m"` // the value of x-amz-content-sha256, or "" when the request had none
	SHA256 string `msg:"h"` // the hash the whole body must have, hexadecimal; "" when the mode declares none
	Length int64  `msg:"l"` // of the decoded body; -1 when unknown

	// Of signed chunks only.
	Seed  string `msg:"s"` // the seed signature, hexadecimal
	Scope string `msg:"c"` // the credential scope: date/region/service/aws4_request
	Date  string `msg:"d"` // the timestamp of the signature, as 20060102T150405Z
}

// bucketText and bucketOf are a bucket's form within a ticket: no part of it may hold a NUL.
func bucketText(b cluster.Bucket) string {
	return string(b.Provider) + "\x00" + b.Namespace + "\x00" + string(b.Name)
}

func bucketOf(text string) cluster.Bucket {
	provider, rest, _ := strings.Cut(text, "\x00")
	namespace, name, _ := strings.Cut(rest, "\x00")
	return cluster.Bucket{Provider: cluster.Provider(provider), Namespace: namespace, Name: cluster.BucketName(name)}
}
