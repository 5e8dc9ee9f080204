-- Journal of schema version 3.
PRAGMA application_id = 1382641255;
PRAGMA user_version = 3;
PRAGMA journal_mode = wal;
PRAGMA foreign_keys = off;
BEGIN TRANSACTION;
CREATE TABLE call (
            seq INTEGER PRIMARY KEY,
            call TEXT NOT NULL UNIQUE,
            started INTEGER NOT NULL,
            ended INTEGER NOT NULL,
            caller TEXT,
            caller_name TEXT,
            name_source TEXT NOT NULL,
            withheld INTEGER NOT NULL,
            dialled TEXT,
            answered_by TEXT,
            machine INTEGER NOT NULL,
            legs INTEGER NOT NULL,
            flags TEXT NOT NULL,
            written INTEGER NOT NULL
        , talk_ms INTEGER, referred_by TEXT);
INSERT INTO "call" VALUES(3,'225b0a4c59eaab0232f4b8425a7c1b21e508c736012f7ba310b1e9d0b708700e',1714962235100000,1714962247150000,NULL,NULL,'none',1,'+862583091005',NULL,0,1,'',1795661824102746,NULL,NULL);
INSERT INTO "call" VALUES(5,'70c3a3e56b3b21e8fefaf36fd6ae04dd66c335b991e825cddfbfd9b5282f578f',1714962248300000,1714962268350000,'+861085091234',NULL,'none',0,'+862583091001','+862583091999',1,1,'',1795661824102746,NULL,NULL);
INSERT INTO "call" VALUES(8,'e48faa478cca9e70a4184b9149a038bee8ac8394adbef6183442a7ee70547a4c',1714962271400000,1714962286250000,'+862583091002','王芳','asserted',0,'+862583091001',NULL,0,1,'',1795661824102746,NULL,NULL);
INSERT INTO "call" VALUES(11,'0c311859f825d3c96664fe7c1edca983adad12796127bb12a83de88e1f97e45f',1714962314500000,1714962339550000,'+8613912345678','<b>总经理</b>", http://evil.test/ 321','from',0,'+862583091002',NULL,0,1,'',1795661824102746,NULL,NULL);
CREATE TABLE explanation (
            seq INTEGER PRIMARY KEY REFERENCES call (seq) ON DELETE CASCADE,
            story TEXT NOT NULL
        );
INSERT INTO "explanation" VALUES(3,'{"legs":[{"name":"225b0a4c59eaab02","closing":"complete","hops":[{"s":"GI","c":1,"t":"+862583091005","i":0,"a":420,"x":12000,"f":12070,"st":487,"k":12073},{"s":"MT","c":1,"t":"+862583091005","i":10,"a":410,"x":12010,"f":12060,"st":487,"k":12063},{"s":"GT","c":1,"t":"+862583091005","i":20,"a":400,"x":12020,"f":12050,"st":487,"k":12053}]}],"rulings":[{"row":"D21"}]}');
INSERT INTO "explanation" VALUES(5,'{"legs":[{"name":"70c3a3e56b3b21e8","closing":"complete","hops":[{"s":"GI","c":1,"t":"+862583091001","i":0,"a":420,"f":20500,"st":200},{"s":"MT","c":1,"t":"+862583091001","i":20,"a":410,"x":20000,"f":20060,"st":487,"k":20063},{"s":"GT","c":1,"t":"+862583091001","i":30,"a":400,"x":20010,"f":20050,"st":487,"k":20053}]}],"rulings":[{"row":"2.8 step d, D42"}]}');
INSERT INTO "explanation" VALUES(8,'{"legs":[{"name":"e48faa478cca9e70","closing":"complete","hops":[{"s":"GO","c":1,"t":"+862583091001","i":-200,"f":-150,"st":407,"k":-147},{"s":"GO","c":2,"t":"+862583091001","i":0,"a":430,"x":14800,"f":14880,"st":487,"k":14883},{"s":"MO","c":2,"t":"+862583091001","i":10,"a":420,"x":14810,"f":14870,"st":487,"k":14873},{"s":"MT","c":2,"t":"+862583091001","i":20,"a":410,"x":14820,"f":14860,"st":487,"k":14863},{"s":"GT","c":2,"t":"+862583091001","i":30,"a":400,"x":14830,"f":14850,"st":487,"k":14853}]}],"rulings":[{"row":"D21"}]}');
INSERT INTO "explanation" VALUES(11,'{"legs":[{"name":"0c311859f825d3c9","closing":"complete","hops":[{"s":"GI","c":1,"t":"+862583091002","i":0,"a":420,"x":25000,"f":25070,"st":487,"k":25073},{"s":"MT","c":1,"t":"+862583091002","i":10,"a":410,"x":25010,"f":25060,"st":487,"k":25063},{"s":"GT","c":1,"t":"+862583091002","i":20,"a":400,"x":25020,"f":25050,"st":487,"k":25053}]}],"rulings":[{"row":"D21"}]}');
CREATE TABLE implicit_set (
            aor TEXT NOT NULL,
            member TEXT NOT NULL,
            seen INTEGER NOT NULL,
            written INTEGER NOT NULL,
            PRIMARY KEY (aor, member)
        ) WITHOUT ROWID;
INSERT INTO "implicit_set" VALUES('+862583091001','+862583091001',1714962221000000,1795661840000000);
INSERT INTO "implicit_set" VALUES('+862583091001','sip:liming@ims.office.test',1714962221000000,1795661840000000);
CREATE TABLE journal (id TEXT NOT NULL, seq_last INTEGER NOT NULL);
INSERT INTO "journal" VALUES('dfa0ac4b08b48c5e88921d621ce13a71',11);
CREATE TABLE target (
            seq INTEGER NOT NULL REFERENCES call (seq) ON DELETE CASCADE,
            rank INTEGER NOT NULL,
            identity TEXT NOT NULL,
            outcome TEXT NOT NULL,
            base TEXT,
            alerted INTEGER NOT NULL,
            ring_ms INTEGER NOT NULL,
            diverted_to TEXT,
            group_number TEXT,
            started INTEGER NOT NULL,
            ended INTEGER NOT NULL,
            PRIMARY KEY (seq, rank)
        ) WITHOUT ROWID;
INSERT INTO "target" VALUES(3,0,'+862583091005','CALLER_HUNG_UP',NULL,1,11620,NULL,NULL,1714962235110000,1714962247150000);
INSERT INTO "target" VALUES(5,0,'+862583091001','VOICEMAIL',NULL,1,19610,NULL,NULL,1714962248320000,1714962268350000);
INSERT INTO "target" VALUES(8,0,'+862583091001','CALLER_HUNG_UP',NULL,1,14430,NULL,NULL,1714962271420000,1714962286250000);
INSERT INTO "target" VALUES(11,0,'+862583091002','CALLER_HUNG_UP',NULL,1,24620,NULL,NULL,1714962314510000,1714962339550000);
CREATE INDEX implicit_set_member ON implicit_set (member);
COMMIT;
