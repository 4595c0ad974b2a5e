package s3

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseLogging(t *testing.T) {
	enabled := func(more string) string {
		return "<BucketLoggingStatus><LoggingEnabled><TargetBucket>logs</TargetBucket><TargetPrefix>p/</TargetPrefix>" + more + "</LoggingEnabled></BucketLoggingStatus>"
	}
	f := func(doc string, want Logging) {
		t.Helper()
		l, err := ParseLogging([]byte(doc))
		if err != nil || !reflect.DeepEqual(*l, want) {
			t.Fatalf("%+v, %v", l, err)
		}
		if again, err := ParseLogging(l.XML()); err != nil || !reflect.DeepEqual(*again, want) {
			t.Fatalf("came back as %+v, %v", again, err)
		}
		value, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := DecodeLogging(value); err != nil || !reflect.DeepEqual(kept, any(l)) {
			t.Fatalf("kept as %+v, %v", kept, err)
		}
	}
	f("<BucketLoggingStatus/>", Logging{})
	f(enabled(""), Logging{Bucket: "logs", Prefix: "p/"})
	f(enabled("<TargetGrants></TargetGrants><TargetObjectKeyFormat><SimplePrefix/></TargetObjectKeyFormat>"), Logging{Bucket: "logs", Prefix: "p/", Simple: true})
	const partitioned = "<TargetObjectKeyFormat><PartitionedPrefix><PartitionDateSource>DeliveryTime</PartitionDateSource></PartitionedPrefix></TargetObjectKeyFormat>"
	f(enabled(partitioned), Logging{Bucket: "logs", Prefix: "p/", Partitioned: "DeliveryTime"})
	bad := func(code Code, doc string) {
		t.Helper()
		_, err := ParseLogging([]byte(doc))
		wantCode(t, err, code)
	}
	bad(MalformedXML, "<Other/>")
	bad(MalformedXML, "<BucketLoggingStatus><Other/></BucketLoggingStatus>")
	bad(MalformedXML, "<BucketLoggingStatus><LoggingEnabled/></BucketLoggingStatus>")
	bad(MalformedXML, enabled("<Other/>"))
	bad(MalformedXML, enabled("<TargetObjectKeyFormat/>"))
	bad(MalformedXML, enabled(strings.Replace(partitioned, "DeliveryTime", "Whenever", 1)))
	grants := func(grantee, permission string) string {
		return enabled("<TargetGrants><Grant><Grantee>" + grantee + "</Grantee><Permission>" + permission + "</Permission></Grant></TargetGrants>")
	}
	f(grants("<ID>abc</ID>", "READ"), Logging{Bucket: "logs", Prefix: "p/", Grants: []ACLGrant{{"abc", Read}}})
	f(grants("<URI>"+AllUsers+"</URI>", "FULL_CONTROL"), Logging{Bucket: "logs", Prefix: "p/", Grants: []ACLGrant{{AllUsers, FullControl}}})
	bad(MalformedACL, enabled("<TargetGrants><Grant/></TargetGrants>"))
	bad(MalformedXML, grants("<ID>abc</ID>", "READ_ACP"))
	bad(MalformedACL, grants("<ID>abc</ID>", "ALL"))
	bad(UnresolvableGrant, grants("<EmailAddress>a@b</EmailAddress>", "READ"))
	bad(InvalidArgument, grants("<URI>http://else</URI>", "READ"))
}

func TestLogKey(t *testing.T) {
	event, now := time.Date(2026, 1, 2, 23, 59, 58, 0, time.UTC), time.Date(2026, 1, 3, 0, 4, 5, 0, time.UTC)
	f := func(l Logging, want string) {
		t.Helper()
		if got := l.LogKey("b", "r", event, now, "U"); string(got) != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f(Logging{Prefix: "p/"}, "p/2026-01-03-00-04-05-U")
	f(Logging{Prefix: "p/", Partitioned: "EventTime"}, "p/000000000000/r/b/2026/01/02/2026-01-02-00-00-00-U")
	f(Logging{Partitioned: "DeliveryTime"}, "000000000000/r/b/2026/01/03/2026-01-03-00-04-05-U")
}

func TestLogRecord(t *testing.T) {
	r := LogRecord{
		Owner: "o", Bucket: "b", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Remote: "10.0.0.1", Requester: "arn:x y", Request: "R", Operation: "REST.GET.OBJECT", Key: "a b",
		Line: "GET /b/a%20b HTTP/1.1", Status: 404, Error: NoSuchKey, Size: -1, Took: 7 * time.Millisecond, Agent: "x\"\n", HostID: "h", Host: "h:80",
	}
	want := `o b [02/Jan/2026:03:04:05 +0000] 10.0.0.1 arn:x%20y R REST.GET.OBJECT a%20b "GET /b/a%20b HTTP/1.1" 404 NoSuchKey - - 7 - "-" "x%22%0A" - h - - - h:80 - - -` + "\n"
	if got := string(r.Append(nil)); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if got := string(r.Append([]byte("before\n"))); got != "before\n"+want {
		t.Errorf("%s", got)
	}
}
