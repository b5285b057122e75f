module example.test/tally

go 1.19
