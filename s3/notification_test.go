package s3

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aisle-store/aisle/cluster"
)

const exampleNotification = `<NotificationConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
<QueueConfiguration><Id>one</Id><Queue>arn:aisle:sqs::hook:webhook</Queue><Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:Delete</Event>
<Filter><S3Key><FilterRule><Name>prefix</Name><Value>images/</Value></FilterRule><FilterRule><Name>Suffix</Name><Value>.jpg</Value></FilterRule></S3Key></Filter></QueueConfiguration>
<TopicConfiguration><Topic>arn:aisle:sns:us-east-1:bus:nats</Topic><Event>s3:ObjectTagging:Put</Event><Event>s3:ObjectRestore:Post</Event></TopicConfiguration>
<CloudFunctionConfiguration><Id>three</Id><CloudFunction>arn:aisle:lambda::log:kafka</CloudFunction><Event>s3:LifecycleExpiration:*</Event></CloudFunctionConfiguration>
<EventBridgeConfiguration></EventBridgeConfiguration></NotificationConfiguration>`

func TestParseNotification(t *testing.T) {
	n, err := ParseNotification([]byte(exampleNotification))
	if err != nil || len(n.Rules) != 3 || !n.Bridge || n.Rules[1].ID == "" {
		t.Fatalf("%+v, %v", n, err)
	}
	again, err := ParseNotification(n.XML())
	if err != nil || !reflect.DeepEqual(n, again) {
		t.Fatalf("%+v came back as %+v, %v", n, again, err)
	}
	value, err := json.Marshal(n)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := DecodeNotification(value); err != nil || !reflect.DeepEqual(kept, any(n)) {
		t.Fatalf("%+v was kept as %+v, %v", n, kept, err)
	}
	bad := func(code Code, rules ...string) {
		t.Helper()
		_, err := ParseNotification([]byte("<NotificationConfiguration>" + strings.Join(rules, "") + "</NotificationConfiguration>"))
		wantCode(t, err, code)
	}
	queue := func(id, events, filter string) string {
		return "<QueueConfiguration><Id>" + id + "</Id><Queue>arn:aisle:sqs::hook:webhook</Queue><Event>" + strings.ReplaceAll(events, " ", "</Event><Event>") +
			"</Event>" + filter + "</QueueConfiguration>"
	}
	filter := func(pairs ...string) string {
		s := "<Filter><S3Key>"
		for i := 0; i < len(pairs); i += 2 {
			s += "<FilterRule><Name>" + pairs[i] + "</Name><Value>" + pairs[i+1] + "</Value></FilterRule>"
		}
		return s + "</S3Key></Filter>"
	}
	const created = "s3:ObjectCreated:*"
	if n, err := ParseNotification([]byte("<NotificationConfiguration/>")); err != nil || len(n.Rules) > 0 {
		t.Fatalf("%+v, %v", n, err)
	}
	bad(MalformedXML, "<Unknown/>")
	bad(MalformedXML, "<QueueConfiguration/>")
	bad(MalformedXML, "<QueueConfiguration><Queue>a</Queue></QueueConfiguration>")
	bad(MalformedXML, "<QueueConfiguration><Topic>a</Topic><Event>"+created+"</Event></QueueConfiguration>")
	bad(MalformedXML, queue(strings.Repeat("i", 256), created, ""))
	bad(MalformedXML, queue("a", created, "<Filter><S3Key><FilterRule><Name>prefix</Name></FilterRule></S3Key></Filter>"))
	bad(InvalidArgument, queue("a", "s3:ObjectEaten:*", ""))
	bad(InvalidArgument, queue("a", "ObjectCreated:Put", ""))
	bad(InvalidArgument, queue("a", "s3:TestEvent", ""))
	bad(InvalidArgument, queue("a", created, filter("infix", "x")))
	bad(InvalidArgument, queue("a", created, filter("prefix", "x", "Prefix", "y")))
	bad(InvalidArgument, queue("a", created, filter("prefix", strings.Repeat("x", 1025))))
	bad(InvalidArgument, queue("a", created, ""), queue("a", "s3:ObjectRemoved:*", ""))
	bad(InvalidArgument, queue("a", created, ""), queue("b", "s3:ObjectCreated:Put", ""))
	bad(InvalidArgument, queue("a", created, filter("prefix", "x")), queue("b", "s3:ObjectCreated:Put", ""))
	bad(InvalidArgument, queue("a", created, filter("prefix", "xy", "suffix", "g")), queue("b", created, filter("prefix", "x", "suffix", ".jpg")))
	bad(InvalidArgument, queue("a", "s3:ObjectRestore:*", ""), queue("b", "s3:ObjectRestore:Post", ""))
	for _, fine := range [][2]string{
		{queue("a", created, filter("prefix", "x")), queue("b", created, filter("prefix", "y"))},
		{queue("a", created, filter("prefix", "x", "suffix", "png")), queue("b", created, filter("prefix", "x", "suffix", "jpg"))},
		{queue("a", created, ""), queue("b", "s3:ObjectRemoved:*", "")},
	} {
		if _, err := ParseNotification([]byte("<NotificationConfiguration>" + fine[0] + fine[1] + "</NotificationConfiguration>")); err != nil {
			t.Error(fine, err)
		}
	}
}

func TestNotificationMatch(t *testing.T) {
	n, err := ParseNotification([]byte(exampleNotification))
	if err != nil {
		t.Fatal(err)
	}
	n.Bridge = false
	f := func(e Event, key string, want ...string) {
		t.Helper()
		var got []string
		for _, told := range n.Match(e, cluster.ObjectKey(key)) {
			got = append(got, told.Destination)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%v of %s: %v, want %v", e, key, got, want)
		}
	}
	f(EventPut, "images/a.jpg", "hook")
	f(EventComplete, "images/a.jpg", "hook")
	f(EventDelete, "images/a.jpg", "hook")
	f(EventDeleteMarker, "images/a.jpg")
	f(EventPut, "images/a.png")
	f(EventPut, "image/a.jpg")
	f(EventTagged, "x", "bus")
	f(EventUntagged, "x")
	f(EventExpired, "x", "log")
	f(EventExpiredMarker, "x", "log")
	n.Bridge = true
	f(EventUntagged, "x", EventBridge)
	for _, arn := range []string{"", "arn:aisle:sqs::hook", "arn:aws:sqs:us-east-1:123:q", "arn:aisle:sns::hook:webhook", "arn:aisle:sqs:::webhook", "arn:aisle:sqs::a:b:c"} {
		if name, _, ok := (&NotificationRule{Kind: "Queue", ARN: arn}).Destination(); ok {
			t.Errorf("%q names %q", arn, name)
		}
	}
}

func TestEventJSON(t *testing.T) {
	size := int64(5)
	r := EventRecord{
		Event: EventPut.String(), Configuration: "c", Time: time.Unix(1700000000, 5e6), Region: "us-east-1", Bucket: "b", BucketOwner: "o", Principal: "p",
		SourceIP: "10.0.0.1", Request: "r", Host: "h", Key: "a b/ü+", Size: &size, ETag: "e", Version: "v", Sequencer: "00",
	}
	got, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"us-east-1","eventTime":"2023-11-14T22:13:20.005Z","eventName":"ObjectCreated:Put",` +
		`"userIdentity":{"principalId":"p"},"requestParameters":{"sourceIPAddress":"10.0.0.1"},"responseElements":{"x-amz-request-id":"r","x-amz-id-2":"h"},` +
		`"s3":{"s3SchemaVersion":"1.0","configurationId":"c","bucket":{"name":"b","ownerIdentity":{"principalId":"o"},"arn":"arn:aws:s3:::b"},` +
		`"object":{"key":"a+b/%C3%BC%2B","size":5,"eTag":"e","versionId":"v","sequencer":"00"}}}]}`
	if string(got) != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	test, err := TestEvent("b", "r", "h", time.Unix(0, 0))
	if want := `{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"1970-01-01T00:00:00.000Z","Bucket":"b","RequestId":"r","HostId":"h"}`; string(test) != want || err != nil {
		t.Errorf("%s, %v", test, err)
	}
}

func FuzzNotification(f *testing.F) {
	f.Add(exampleNotification, "images/x.jpg")
	f.Fuzz(func(t *testing.T, doc, key string) {
		n, err := ParseNotification([]byte(doc))
		classified(t, err)
		if err != nil {
			return
		}
		if again, err := ParseNotification(n.XML()); err != nil || !reflect.DeepEqual(n, again) {
			t.Fatalf("%+v came back as %+v, %v", n, again, err)
		}
		n.Match(EventPut, cluster.ObjectKey(key))
	})
}
