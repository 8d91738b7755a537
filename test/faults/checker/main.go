// Command checker decides whether a recorded history of registers is linearizable, with porcupine.
//
// It reads one JSON object a line (see operation) from standard input, checks each key by itself (objects are independent
// registers; linearizability is local), prints a verdict as JSON and exits 0 (linearizable), 1 (not) or 2 (undecided, bad input).
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"sort"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// operation is what a client asked of one object and what it was told. Each write has a value of its own, so that a revision
// and the value written at it stand for one another: a write on condition of a revision is one of Expected.
type operation struct {
	Client   int    `json:"client"`
	Key      string `json:"key"`
	Op       string `json:"op"`       // create, get, cas, patch, delete, purge
	Value    string `json:"value"`    // what it would write
	Expected string `json:"expected"` // cas
	Status   string `json:"status"`   // ok, absent, exists, changed, unknown
	Seen     string `json:"seen"`     // ok: the value in the answer
	Deleting bool   `json:"deleting"` // ok: the object in the answer was being deleted
	Call     int64  `json:"call"`     // nanoseconds of one monotonic clock
	Return   int64  `json:"return"`   // unknown: ignored, the write may take effect at any later time, or never
}

func (o operation) String() string {
	text := fmt.Sprintf("%s(%s", o.Op, o.Value)
	if o.Op == "cas" {
		text += " if " + o.Expected
	}
	text += ") -> " + o.Status
	if o.Status == "ok" {
		text += " " + o.Seen
		if o.Deleting {
			text += " (deleting)"
		}
	}
	return text
}

const (
	absent = iota
	present
	deleting // holds its finalizer; the garbage collector will remove it at a moment nobody records
)

type register struct {
	phase int
	value string
}

// answers lists the states after `o`, done on `s`, was answered as it was; none when it cannot have been.
func answers(s register, o operation) []register {
	same := s.value == o.Seen && (s.phase == deleting) == o.Deleting
	is := func(ok bool, next register) []register {
		if ok {
			return []register{next}
		}
		return nil
	}
	if o.Status == "absent" {
		return is(s.phase == absent && o.Op != "create", s)
	}
	switch o.Op + " " + o.Status {
	case "create ok":
		return is(s.phase == absent && o.Seen == o.Value, register{present, o.Value})
	case "create exists":
		return is(s.phase != absent, s)
	case "get ok":
		return is(s.phase != absent && same, s)
	case "cas ok":
		return is(s.phase == present && s.value == o.Expected && o.Seen == o.Value && !o.Deleting, register{present, o.Value})
	case "cas changed":
		return is(s.phase != absent && (s.phase == deleting || s.value != o.Expected), s)
	case "patch ok":
		return is(s.phase != absent && o.Seen == o.Value && (s.phase == deleting) == o.Deleting, register{s.phase, o.Value})
	case "delete ok":
		return is(s.phase != absent && s.value == o.Seen && o.Deleting, register{deleting, s.value})
	case "purge ok":
		if s.phase == deleting {
			return is(same, register{})
		}
		return is(s.phase == present && same, s)
	}
	return nil
}

// effects lists the states after `o` if it took effect, whatever it would have answered.
func effects(s register, o operation) []register {
	switch {
	case o.Op == "create" && s.phase == absent:
		return []register{{present, o.Value}}
	case o.Op == "cas" && s.phase == present && s.value == o.Expected:
		return []register{{present, o.Value}}
	case o.Op == "patch" && s.phase != absent:
		return []register{{s.phase, o.Value}}
	case o.Op == "delete" && s.phase == present:
		return []register{{deleting, s.value}}
	case o.Op == "purge" && s.phase == deleting:
		return []register{{}}
	}
	return nil
}

func model(collected bool) porcupine.Model {
	nondeterministic := porcupine.NondeterministicModel{
		Init: func() []interface{} { return []interface{}{register{}} },
		Step: func(state, input, _ interface{}) []interface{} {
			o := input.(operation)
			before := []register{state.(register)}
			if collected && before[0].phase == deleting {
				before = append(before, register{})
			}
			var after []interface{}
			for _, s := range before {
				next := answers(s, o)
				if o.Status == "unknown" {
					next = append(effects(s, o), s)
				}
				for _, n := range next {
					after = append(after, n)
				}
			}
			return after
		},
		DescribeOperation: func(input, _ interface{}) string { return input.(operation).String() },
		DescribeState: func(state interface{}) string {
			s := state.(register)
			return [...]string{"absent", "", "deleting "}[s.phase] + s.value
		},
	}
	return nondeterministic.ToModel()
}

type verdict struct {
	Result     string   `json:"result"`
	Operations int      `json:"operations"`
	Unknown    int      `json:"unknown"`
	Keys       int      `json:"keys"`
	Bad        []string `json:"bad"`
}

func read() (map[string][]porcupine.Operation, verdict, error) {
	known := map[string]bool{"create": true, "get": true, "cas": true, "patch": true, "delete": true, "purge": true}
	statuses := map[string]bool{"ok": true, "absent": true, "exists": true, "changed": true, "unknown": true}
	histories := map[string][]porcupine.Operation{}
	var summary verdict
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for number := 1; lines.Scan(); number++ {
		var o operation
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return nil, summary, fmt.Errorf("line %d: %w", number, err)
		}
		if !known[o.Op] || !statuses[o.Status] || o.Key == "" {
			return nil, summary, fmt.Errorf("line %d: no such operation or status: %s", number, lines.Text())
		}
		if o.Status == "unknown" {
			if o.Op == "get" {
				continue // says nothing
			}
			o.Return = math.MaxInt64
			summary.Unknown++
		}
		if o.Return < o.Call {
			return nil, summary, fmt.Errorf("line %d: it returns before it was called: %s", number, lines.Text())
		}
		summary.Operations++
		histories[o.Key] = append(histories[o.Key], porcupine.Operation{ClientId: o.Client, Input: o, Call: o.Call, Return: o.Return})
	}
	summary.Keys = len(histories)
	return histories, summary, lines.Err()
}

// blame describes where the longest explanation of a key's history ends.
func blame(key string, history []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var longest []porcupine.Operation
	for _, partition := range info.PartialLinearizationsOperations() {
		for _, explained := range partition {
			if len(explained) > len(longest) {
				longest = explained
			}
		}
	}
	done := map[operation]bool{}
	text := fmt.Sprintf("%s: %d of %d operations can be explained", key, len(longest), len(history))
	for i, o := range longest {
		done[o.Input.(operation)] = true
		if i >= len(longest)-4 {
			text += fmt.Sprintf("\n  %v", o.Input)
		}
	}
	sort.Slice(history, func(i, j int) bool { return history[i].Return < history[j].Return })
	for _, o := range history {
		if !done[o.Input.(operation)] {
			return text + fmt.Sprintf("\n  and then not: %v, called at %d, returned at %d", o.Input, o.Call, o.Return)
		}
	}
	return text
}

func main() {
	collected := flag.Bool("collected", false, "a garbage collector removes what is being deleted, at moments that nobody records")
	timeout := flag.Duration("timeout", time.Minute, "for each key")
	page := flag.String("html", "", "prefix of files to draw the histories of bad keys into")
	flag.Parse()
	histories, summary, err := read()
	if err != nil {
		fmt.Fprintln(os.Stderr, "checker:", err)
		os.Exit(2)
	}
	var lock sync.Mutex
	var workers sync.WaitGroup
	undecided := 0
	slots := make(chan struct{}, runtime.NumCPU())
	for key, history := range histories {
		workers.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; workers.Done() }()
			m := model(*collected)
			result := porcupine.CheckOperationsTimeout(m, history, *timeout)
			if result == porcupine.Ok {
				return
			}
			text := fmt.Sprintf("%s: undecided after %v", key, *timeout)
			if result == porcupine.Illegal {
				_, info := porcupine.CheckOperationsVerbose(m, history, *timeout)
				text = blame(key, history, info)
				if *page != "" {
					_ = porcupine.VisualizePath(m, info, *page+key+".html")
				}
			}
			lock.Lock()
			defer lock.Unlock()
			summary.Bad = append(summary.Bad, text)
			if result == porcupine.Unknown {
				undecided++
			}
		}()
	}
	workers.Wait()
	sort.Strings(summary.Bad)
	code := 0
	switch {
	case len(summary.Bad) == 0:
		summary.Result = "Ok"
	case undecided == len(summary.Bad):
		summary.Result, code = "Unknown", 2
	default:
		summary.Result, code = "Illegal", 1
	}
	_ = json.NewEncoder(os.Stdout).Encode(summary)
	os.Exit(code)
}
