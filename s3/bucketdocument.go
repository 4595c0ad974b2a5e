package s3

import (
	"encoding/json"

	"github.com/aisle-store/aisle/cluster"
)

// Tags is the tags of a bucket.
type Tags struct {
	Set []Field
}

// ParseBucketTagging reads the body of PutBucketTagging.
func ParseBucketTagging(body []byte) (*Tags, error) {
	set, err := parseTagging(body, MaxBucketTags, "Bucket")
	return &Tags{set}, err
}

// DecodeTags reads the stored form of a bucket's tags.
func DecodeTags(value []byte) (any, error) {
	t := &Tags{}
	return t, json.Unmarshal(value, t)
}

// XML returns the reply to GetBucketTagging.
func (t *Tags) XML() []byte { return TaggingXML(t.Set) }

// RequestPayment says who pays for requests to a bucket. Nobody does here: it is kept and told.
type RequestPayment struct {
	Payer string
}

// ParseRequestPayment reads the body of PutBucketRequestPayment.
func ParseRequestPayment(body []byte) (*RequestPayment, error) {
	const op = "s3.ParseRequestPayment"
	root, err := parseXML(body, 16)
	if err != nil {
		return nil, cluster.E(op, "", cluster.KindOther, err)
	}
	payer := root.only("Payer")
	if root.name != "RequestPaymentConfiguration" || len(root.children) != 1 || payer == nil ||
		payer.text != "BucketOwner" && payer.text != "Requester" {
		return nil, malformedXML(op)
	}
	return &RequestPayment{payer.text}, nil
}

// DecodeRequestPayment reads the stored form.
func DecodeRequestPayment(value []byte) (any, error) {
	p := &RequestPayment{}
	return p, json.Unmarshal(value, p)
}

// XML returns the reply to GetBucketRequestPayment.
func (p *RequestPayment) XML() []byte {
	w := newXML(192)
	w.root("RequestPaymentConfiguration")
	w.text("Payer", p.Payer)
	w.close("RequestPaymentConfiguration")
	return w.bytes()
}

// emptyDocuments are the replies about configurations that no bucket has here, since they cannot be set.
var emptyDocuments = map[Operation]string{
	GetBucketAccelerateConfiguration:           "AccelerateConfiguration",
	ListBucketAnalyticsConfigurations:          "ListBucketAnalyticsConfigurationResult",
	ListBucketIntelligentTieringConfigurations: "ListBucketIntelligentTieringConfigurationsOutput",
	ListBucketInventoryConfigurations:          "ListInventoryConfigurationsResult",
	ListBucketMetricsConfigurations:            "ListMetricsConfigurationsResult",
}

// EmptyDocument returns the reply to an operation that asks for a configuration, or a list of them, that no bucket has.
func EmptyDocument(o Operation) []byte {
	name := emptyDocuments[o]
	w := newXML(192)
	w.root(name)
	if o != GetBucketAccelerateConfiguration {
		w.boolean("IsTruncated", false)
	}
	w.close(name)
	return w.bytes()
}
