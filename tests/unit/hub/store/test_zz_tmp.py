import subprocess,sys
from tests.stores import database, postgresql_database, postgresql_server, store, store_url
def test_b(postgresql_server):
    from tests.stores import _database
    with _database(postgresql_server) as url:
        print(subprocess.run([sys.executable,"/tmp/bench.py",url],capture_output=True,text=True))
