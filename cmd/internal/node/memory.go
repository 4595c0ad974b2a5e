package node

import (
	"os"
	"strconv"
	"strings"
)

// cacheFor is how much of a memory of that many bytes the index's cache may take when nobody has said it: pages of a bucket
// of a million objects come from memory on a machine of 16 GiB.
func cacheFor(memory int64) int64 {
	const least, most = 64 << 20, 4 << 30
	return min(max(memory/64, least), most)
}

// memoryLimit is what this process may use: the machine's memory, or the limit of its control group where that is lower.
// Zero when neither can be read.
func memoryLimit() int64 {
	limit := int64(memoryOf("/proc/meminfo", "MemTotal")["MemTotal"])
	text, err := os.ReadFile("/sys/fs/cgroup/memory.max")
	if err != nil {
		return limit
	}
	if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n < limit {
		return n
	}
	return limit
}
