// Package tally counts words.
package tally

import (
	"fmt"
	"strings"
)

// Report returns a line for each word of a text, `word: count`, most frequent first and
// equally frequent ones in alphabetical order.
func Report(text string) string {
	counts := make(map[string]int)
	for _, word := range strings.Fields(text) {
		counts[word]++
	}
	var report strings.Builder
	for word, count := range counts {
		fmt.Fprintf(&report, "%s: %d\n", word, count)
	}
	return report.String()
}
