package api

import "time"

// The actions of KMS.
const (
	ActionAddKey    = "add-encryption-key"
	ActionRotateKey = "rotate-encryption-key"
	ActionResealKey = "reseal-encryption-key"
	ActionRemoveKey = "rm-encryption-key"
)

// EncryptionKeyMsg is the value of the actions of KMS.
type EncryptionKeyMsg struct {
	Name string `json:"name"`
}

// EncryptionKey is what is told of an encryption key.
type EncryptionKey struct {
	Name     string    `json:"name"`
	Created  time.Time `json:"created"`
	Rotated  time.Time `json:"rotated"` // when its newest version was made
	Versions int       `json:"versions"`
	Sealed   string    `json:"sealed"` // under the "master" key or the "cluster" key
	Opens    bool      `json:"opens"`  // the node that was asked can open it
}
