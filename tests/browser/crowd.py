"""Makes a tenant's only conversation many, in the chat backend's SQLite file: through the relay it would take minutes.

Arguments: the file, the tenant's id, how many there shall be.
"""

import sqlite3
import sys
import uuid

path, tenant, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
database = sqlite3.connect(path, timeout=30)
database.row_factory = sqlite3.Row
conversation = dict(database.execute("SELECT * FROM conversation WHERE tenant_id = ?", [tenant]).fetchone())
message = dict(database.execute("SELECT * FROM message WHERE conversation_id = ?", [conversation["id"]]).fetchone())


def insert(table, row):
    columns = ", ".join(row)
    database.execute(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(row))})", list(row.values()))


for number in range(1, count):
    id, said = str(uuid.uuid4()), str(uuid.uuid4())
    times = {name: conversation[name] + number for name in ("waiting_since", "last_message_at", "created_at", "updated_at")}
    name = {"visitor_display_name": f"Customer {number}", "visitor_user_id": f"c{number}@shop.example", "last_entry_id": said}
    insert("conversation", {**conversation, **times, **name, "id": id})
    insert("message", {**message, "id": said, "conversation_id": id, "created_at": times["last_message_at"]})
database.commit()
