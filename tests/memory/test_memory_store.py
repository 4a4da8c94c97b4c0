def test_a(memory):
    f = memory.store("hello")
    print(f)
