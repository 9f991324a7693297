module github.com/skott-dev/skott/test/bench/matcher

go 1.26.3

require (
	github.com/BobuSumisu/aho-corasick v1.0.3
	github.com/skott-dev/skott v0.0.0
)

replace github.com/skott-dev/skott => ../../..
