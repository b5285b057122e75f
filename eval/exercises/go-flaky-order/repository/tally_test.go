package tally

import "testing"

func TestReport(t *testing.T) {
	want := "b: 2\na: 1\n"
	if got := Report("b a b"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
