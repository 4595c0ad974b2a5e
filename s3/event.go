package s3

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

// Event is a kind of change of an object of which somebody may want to know.
type Event uint8

// The events that happen here.
const (
	NoEvent Event = iota
	EventPut
	EventPost
	EventCopy
	EventComplete
	EventDelete
	EventDeleteMarker
	EventExpired
	EventExpiredMarker
	EventTagged
	EventUntagged
	EventACL
	eventEnd
)

// eventNames are AWS's names of the events, without "s3:".
var eventNames = [eventEnd]string{
	EventPut:           "ObjectCreated:Put",
	EventPost:          "ObjectCreated:Post",
	EventCopy:          "ObjectCreated:Copy",
	EventComplete:      "ObjectCreated:CompleteMultipartUpload",
	EventDelete:        "ObjectRemoved:Delete",
	EventDeleteMarker:  "ObjectRemoved:DeleteMarkerCreated",
	EventExpired:       "LifecycleExpiration:Delete",
	EventExpiredMarker: "LifecycleExpiration:DeleteMarkerCreated",
	EventTagged:        "ObjectTagging:Put",
	EventUntagged:      "ObjectTagging:Delete",
	EventACL:           "ObjectAcl:Put",
}

// otherEvents can be asked for, and never happen here.
var otherEvents = []string{
	"IntelligentTiering", "LifecycleTransition", "ObjectRestore:*", "ObjectRestore:Completed", "ObjectRestore:Delete",
	"ObjectRestore:Post", "ReducedRedundancyLostObject", "Replication:*", "Replication:OperationFailedReplication",
	"Replication:OperationMissedThreshold", "Replication:OperationNotTracked", "Replication:OperationReplicatedAfterThreshold",
}

// String returns AWS's name of the event, without "s3:".
func (e Event) String() string {
	if e < eventEnd {
		return eventNames[e]
	}
	return ""
}

// events is a set of them.
type events uint32

func (e Event) set() events { return 1 << e }

// eventsOf returns the events that a name in a configuration stands for, of those that happen here.
func eventsOf(name string) (set events, known bool) {
	name, ok := strings.CutPrefix(name, "s3:")
	if !ok {
		return 0, false
	}
	family, all := strings.CutSuffix(name, ":*")
	for e := NoEvent + 1; e < eventEnd; e++ {
		of, _, _ := strings.Cut(eventNames[e], ":")
		if eventNames[e] == name || all && of == family {
			set |= e.set()
		}
	}
	return set, set != 0 || slices.Contains(otherEvents, name)
}

// EventRecord is what is told of one event.
type EventRecord struct {
	Event         string // its name
	Configuration string // the id of the rule that asks for it
	Time          time.Time
	Region        string
	Bucket        cluster.BucketName
	BucketOwner   string
	Principal     string // whose request it was
	SourceIP      string
	Request       cluster.RequestID
	Host          string // that sends the event
	Key           cluster.ObjectKey
	Size          *int64 // of an object that was made
	ETag          string
	Version       cluster.VersionID // where the bucket has versions
	Sequencer     string            // of two events of one key the later one has the greater
}

type identity struct {
	PrincipalID string `json:"principalId"`
}

// JSON returns the message in AWS's form (event structure 2.1).
func (r *EventRecord) JSON() ([]byte, error) {
	var m eventMessage
	m.Version, m.Source, m.Region, m.Time, m.Name = "2.1", "aws:s3", r.Region, FormatTime(r.Time), r.Event
	m.User.PrincipalID, m.Parameters.SourceIP = r.Principal, r.SourceIP
	m.Response.Request, m.Response.Host = r.Request, r.Host
	m.S3.Schema, m.S3.Configuration = "1.0", r.Configuration
	m.S3.Bucket.Name, m.S3.Bucket.Owner.PrincipalID, m.S3.Bucket.ARN = r.Bucket, r.BucketOwner, "arn:aws:s3:::"+string(r.Bucket)
	o := &m.S3.Object
	o.Key = strings.ReplaceAll(url.QueryEscape(string(r.Key)), "%2F", "/")
	o.Size, o.ETag, o.Version, o.Sequencer = r.Size, r.ETag, r.Version, r.Sequencer
	return json.Marshal(map[string][]eventMessage{"Records": {m}})
}

// eventMessage is the JSON of one event.
type eventMessage struct {
	Version    string   `json:"eventVersion"`
	Source     string   `json:"eventSource"`
	Region     string   `json:"awsRegion"`
	Time       string   `json:"eventTime"`
	Name       string   `json:"eventName"`
	User       identity `json:"userIdentity"`
	Parameters struct {
		SourceIP string `json:"sourceIPAddress"`
	} `json:"requestParameters"`
	Response struct {
		Request cluster.RequestID `json:"x-amz-request-id"`
		Host    string            `json:"x-amz-id-2"`
	} `json:"responseElements"`
	S3 struct {
		Schema        string `json:"s3SchemaVersion"`
		Configuration string `json:"configurationId"`
		Bucket        struct {
			Name  cluster.BucketName `json:"name"`
			Owner identity           `json:"ownerIdentity"`
			ARN   string             `json:"arn"`
		} `json:"bucket"`
		Object struct {
			Key       string            `json:"key"`
			Size      *int64            `json:"size,omitempty"`
			ETag      string            `json:"eTag,omitempty"`
			Version   cluster.VersionID `json:"versionId,omitempty"`
			Sequencer string            `json:"sequencer"`
		} `json:"object"`
	} `json:"s3"`
}

// TestEvent returns the message that a destination gets when a bucket's configuration begins to name it.
func TestEvent(bucket cluster.BucketName, request cluster.RequestID, host string, now time.Time) ([]byte, error) {
	return json.Marshal(struct {
		Service, Event, Time string
		Bucket               cluster.BucketName
		RequestID            cluster.RequestID `json:"RequestId"`
		HostID               string            `json:"HostId"`
	}{"Amazon S3", "s3:TestEvent", FormatTime(now), bucket, request, host})
}
