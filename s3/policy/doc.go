// Package policy is the language of access policies: documents of IAM and of buckets (AWS: "IAM JSON policy element
// reference"). Parse reads and checks a document; what it returns is immutable and is asked about one request at a time,
// without allocating. How the policies of an identity and of a bucket combine is not told here, only that within a
// document a deny counts more than an allow.
package policy
