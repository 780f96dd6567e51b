module c10k/go-netpoll

go 1.19
