module example.test/lru

go 1.19
