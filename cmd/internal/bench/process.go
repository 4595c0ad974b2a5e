package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what processes used while a load ran.
type usage struct {
	server time.Duration    // CPU time of the watched processes
	client time.Duration    // CPU time of this process
	rss    map[string]int64 // largest resident memory of each, by pid
}

// watch samples processes until it is stopped.
type watch struct {
	pids   []int
	before map[int]time.Duration
	own    time.Duration
	rss    map[string]int64
	quit   chan struct{}
	done   chan struct{}
}

func startWatch(pids []int) *watch {
	w := &watch{pids: pids, before: make(map[int]time.Duration), rss: make(map[string]int64), quit: make(chan struct{}), done: make(chan struct{})}
	for _, pid := range pids {
		w.before[pid] = cpuOf(pid)
	}
	w.own = ownCPU()
	go w.sample()
	return w
}

// sample notes the memory of every process, ten times a second.
func (w *watch) sample() {
	defer close(w.done)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, pid := range w.pids {
			name := strconv.Itoa(pid)
			w.rss[name] = max(w.rss[name], rssOf(pid))
		}
		select {
		case <-w.quit:
			return
		case <-tick.C:
		}
	}
}

func (w *watch) stop() usage {
	u := usage{client: ownCPU() - w.own}
	for _, pid := range w.pids {
		u.server += cpuOf(pid) - w.before[pid]
	}
	close(w.quit)
	<-w.done
	u.rss = w.rss
	return u
}

// ticksPerSecond is the unit of times in /proc; it is 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// cpuOf returns the user and system time of a process, all threads together.
func cpuOf(pid int) time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field is the name in parentheses and may hold anything; utime and stime are the 14th and 15th.
	_, rest, _ := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticksPerSecond
}

// rssOf returns the resident memory of a process.
func rssOf(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// ownCPU returns the CPU time of this process.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
