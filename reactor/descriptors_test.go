package reactor

const serverEnv = "CHATD_REACTOR_TEST_SERVER"

func serveForTest() {}
