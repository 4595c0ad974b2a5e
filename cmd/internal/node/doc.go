// Package node composes one node of a cluster: it opens the state directory, makes every part in order, hands each what
// it needs, joins, serves until it is told to stop, and takes the parts down in the opposite order. Run is the recipe.
package node
