package tally

import "testing"

func same(t *testing.T, text, want string) {
	t.Helper()
	for try := 0; try < 50; try++ {
		if got := Report(text); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func TestHiddenMostFrequentFirst(t *testing.T) {
	same(t, "a b c b c c", "c: 3\nb: 2\na: 1\n")
}

func TestHiddenEquallyFrequentOnesByName(t *testing.T) {
	same(t, "d c b a e e", "e: 2\na: 1\nb: 1\nc: 1\nd: 1\n")
}

func TestHiddenNothingIsEmpty(t *testing.T) {
	same(t, " \n", "")
}
