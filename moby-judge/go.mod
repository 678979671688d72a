module umiak/moby-judge

go 1.23

require github.com/docker/docker v28.2.2+incompatible
